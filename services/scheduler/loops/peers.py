"""Up to which time the reports of workers are recorded, although they are spread over several schedulers.

A report that was delivered to another scheduler may still wait there. This scheduler cannot see it, only that the other
one is at work, or that no other scheduler consumes reports any more: then the broker has delivered all of them here.
The sign of being at work is the heartbeat in the table ``services``. It proves that the process runs and reaches the
database, not that its thread for reports is not held up.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from services.scheduler.deciding.batch import Batch
from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS

__all__ = ["Peers"]

_log = logging.getLogger(__name__)
_SESSION_ENDS = timedelta(seconds=30)
"""The broker has ended the session of a scheduler that was silent for so long: two AMQP heartbeats and a margin."""


class Peers:
    """The other schedulers.

    ``instance_id``: this scheduler's row in the table ``services``. ``consumers`` returns how many schedulers consume
    reports; it may raise ``BrokerUnavailable``.
    """

    def __init__(self, instance_id: str, consumers: Callable[[], int]) -> None:
        self._instance_id = instance_id
        self._consumers = consumers

    def recorded_until(self, batch: Batch, wanted: datetime) -> datetime:
        """Return a time: the other schedulers have recorded all reports that were sent before it.

        It does not look for a time later than ``wanted``, since asking the broker takes a moment.
        """
        marks = batch.tx.services.marks(self._instance_id, batch.now - _SESSION_ENDS)
        if not marks:
            return batch.now
        if min(marks) >= wanted:
            return min(marks)
        try:
            alone = self._consumers() <= 1
        except BrokerUnavailable as error:
            _log.warning("peers.unseen", extra={"queue": EVENTS.name, "error": str(error)})
            return min(marks)
        return batch.now if alone else min(marks)
