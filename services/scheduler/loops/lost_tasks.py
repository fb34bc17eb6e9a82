"""Finds lost tasks: sent long ago, started by no worker, and not waiting at the broker either.

A worker's free slot proves nothing: with thousands of short steps waiting it has one every other moment.
A task that is wrongly considered lost while it waits runs twice, and thousands of them would be sent
again behind each other without end.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.transport.base import BrokerQueue, Transport

__all__ = ["LostTasks"]

_TAKEN = timedelta(seconds=2)
"""After this time the worker that took the last task off a broker queue has reported its start."""


class LostTasks:
    """What one scheduler saw of the broker queues on which overdue tasks may wait.

    ``overdue`` is how long after its decision a task has been sent for certain.
    """

    def __init__(self, transport: Transport, overdue: timedelta) -> None:
        self._transport = transport
        self.overdue = overdue
        self._seen_empty: dict[str, datetime] = {}

    def sent_before(self, route: BrokerQueue, judged_at: datetime) -> datetime | None:
        """Return the time before which no task sent can still wait on this queue: what was sent earlier is lost.

        ``judged_at``: all reports sent before then are recorded. ``None``: tasks may still wait there.
        """
        seen_at = self._seen_empty.get(route.name)
        return None if seen_at is None or judged_at < seen_at + _TAKEN else seen_at - self.overdue

    def observe(self, routes: Iterable[BrokerQueue], now: datetime) -> None:
        """Note which of these broker queues are empty, and forget all others. Raises ``BrokerUnavailable``."""
        seen, self._seen_empty = self._seen_empty, {}
        for route in {route.name: route for route in routes}.values():
            if not self._transport.waiting(route):
                # Kept long enough to be used, though passes come quickly and reports are recorded a little late.
                kept = route.name in seen and now < seen[route.name] + 2 * _TAKEN
                self._seen_empty[route.name] = seen[route.name] if kept else now
