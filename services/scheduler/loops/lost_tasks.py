"""Finds lost tasks: tasks that were sent long ago, that no worker has started, and that are not on a broker queue.

A free slot of a worker proves nothing: while thousands of short steps wait, workers often have a free slot for a
moment. The check must be exact. If waiting tasks were considered lost, they would run twice, and thousands of tasks
would be sent again and again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.transport.base import BrokerQueue, Transport

__all__ = ["LostTasks"]

_TAKEN = timedelta(seconds=2)
"""Within this time after a broker queue is empty, the worker that took its last task has reported the start."""


class LostTasks:
    """When this scheduler saw that broker queues with overdue tasks were empty.

    ``overdue``: the time after which a task has certainly been sent, counted from its decision.
    """

    def __init__(self, transport: Transport, overdue: timedelta) -> None:
        self._transport = transport
        self.overdue = overdue
        self._seen_empty: dict[str, datetime] = {}

    def sent_before(self, route: BrokerQueue, judged_at: datetime) -> datetime | None:
        """Return a time: tasks for this broker queue that were dispatched before it and have not started are lost.

        Returns ``None`` if tasks may still be on the broker queue. ``judged_at``: all reports sent before this time
        are recorded.
        """
        seen_at = self._seen_empty.get(route.name)
        return None if seen_at is None or judged_at < seen_at + _TAKEN else seen_at - self.overdue

    def observe(self, routes: Iterable[BrokerQueue], now: datetime) -> None:
        """Note which of these broker queues are empty now; forget all others. Raises ``BrokerUnavailable``."""
        seen, self._seen_empty = self._seen_empty, {}
        for route in {route.name: route for route in routes}.values():
            if not self._transport.waiting(route):
                # Keep the first time for a while. If each pass replaced it, it would never be old enough to be used.
                kept = route.name in seen and now < seen[route.name] + 2 * _TAKEN
                self._seen_empty[route.name] = seen[route.name] if kept else now
