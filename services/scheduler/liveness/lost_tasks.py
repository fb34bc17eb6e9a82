"""Finds lost tasks: tasks that were sent long ago, that no worker has started, and that are nowhere.

A task is on a broker queue, or a worker has it in hand: it waits there for a slot, or the worker asks for a grant. The
heartbeats name such tasks.

A free slot of a worker proves nothing: while thousands of short steps wait, workers often have a free slot for a
moment. The check must be exact. If waiting tasks were considered lost, they would run twice, and thousands of tasks
would be sent again and again.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.transport.base import BrokerQueue, Transport

__all__ = ["LostTasks"]

_TAKEN = timedelta(seconds=2)
"""Within this time after a broker queue is empty, the worker that took its last task has reported the start.

If the worker cannot begin yet, it names the task in its heartbeats: within half a lease, as there are five in a lease.
"""
_APART = timedelta(seconds=1)
_KEPT = 100
"""How many observations of a broker queue are kept. In a calm system a scheduler judges several seconds behind the
present, and the newest observation is never old enough; so the older ones are kept too.
"""


class LostTasks:
    """When this scheduler saw that broker queues with overdue tasks were empty.

    ``overdue``: the time after which a task has certainly been sent, counted from its decision. ``lease``: that of a
    worker, which sends several heartbeats in it.
    """

    def __init__(self, transport: Transport, overdue: timedelta, lease: timedelta = timedelta()) -> None:
        self._transport = transport
        self.overdue = overdue
        self._taken = max(_TAKEN, lease / 2)
        self._seen_empty: dict[str, deque[datetime]] = {}

    def sent_before(self, broker_queue: BrokerQueue, judged_at: datetime) -> datetime | None:
        """Return a time: tasks for this broker queue that were dispatched before it and have not started are lost.

        Returns ``None`` if tasks may still be on the broker queue. ``judged_at``: all reports sent before this time
        are recorded.
        """
        seen = self._seen_empty.get(broker_queue.name, ())
        proven = max((seen_at for seen_at in seen if seen_at + self._taken <= judged_at), default=None)
        return None if proven is None else proven - self.overdue

    def observe(self, broker_queues: Iterable[BrokerQueue], now: datetime) -> None:
        """Note which of these broker queues are empty now. Forget what was noted of queues that are not among them.

        Raises ``BrokerUnavailable``.
        """
        known, self._seen_empty = self._seen_empty, {}
        for broker_queue in {broker_queue.name: broker_queue for broker_queue in broker_queues}.values():
            if not self._transport.waiting(broker_queue):
                seen = self._seen_empty[broker_queue.name] = known.get(broker_queue.name, deque(maxlen=_KEPT))
                if not seen or now - seen[-1] >= _APART:
                    seen.append(now)
