"""Tasks that were lost on their way: sent long ago, reported by nobody, and not waiting at the broker either.

That a worker has a free slot proves nothing: with thousands of short steps waiting it has one every other
moment. A task that is taken for lost while it waits runs twice, and thousands of them so taken are sent
anew behind each other for ever.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.transport.base import BrokerQueue, Transport

__all__ = ["LostTasks"]

_TAKEN = timedelta(seconds=2)
"""By then whoever took the last task off a route has reported that it started."""


class LostTasks:
    """What one scheduler saw of the routes on which overdue tasks may wait.

    ``overdue`` is how long after its decision a task has been sent for certain.
    """

    def __init__(self, transport: Transport, overdue: timedelta) -> None:
        self._transport = transport
        self.overdue = overdue
        self._seen_empty: dict[str, datetime] = {}

    def sent_before(self, route: BrokerQueue, judged_at: datetime) -> datetime | None:
        """Return the moment since which a task cannot wait on this route any more: what left before then is lost.

        ``judged_at``: all that was reported before then is recorded. ``None``: it may wait there still.
        """
        seen_at = self._seen_empty.get(route.name)
        return None if seen_at is None or judged_at < seen_at + _TAKEN else seen_at - self.overdue

    def observe(self, routes: Iterable[BrokerQueue], now: datetime) -> None:
        """See which of these routes are empty; what was seen of others is forgotten. Raises ``BrokerUnavailable``."""
        seen, self._seen_empty = self._seen_empty, {}
        for route in {route.name: route for route in routes}.values():
            if not self._transport.waiting(route):
                # Long enough to be judged by, though looks come quickly and reports are recorded a little late.
                kept = route.name in seen and now < seen[route.name] + 2 * _TAKEN
                self._seen_empty[route.name] = seen[route.name] if kept else now
