"""Recognises a heartbeat that is sent a second time: a replay would keep the lease of a lost worker alive."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

from shared.contracts.signing import CLOCK_MARGIN

__all__ = ["HeartbeatOrder"]

_REMEMBERED = 20_000
"""How many worker processes are remembered, the last heard ones."""
_STEP = timedelta(milliseconds=1)
"""The precision of the time in a signature."""


class HeartbeatOrder:
    """Times of signing by sender: each must be later than the one before. Thread-safe, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = datetime.min.replace(tzinfo=UTC)
        self._heard: OrderedDict[Hashable, datetime] = OrderedDict()

    def next(self, now: datetime) -> datetime:
        """Return the time to sign with: ``now``, or later if the clock was set back since the last call.

        If it was set back by more than ``CLOCK_MARGIN``, schedulers have refused what was signed before, and would
        refuse what is later.
        """
        with self._lock:
            self._sent = now if self._sent - now > CLOCK_MARGIN else max(now, self._sent + _STEP)
            return self._sent

    def hear(self, sender: Hashable, at: datetime, *, remember: bool = True) -> bool:
        """Return whether a heartbeat signed at ``at`` is later than all remembered ones. A repeated one is not."""
        with self._lock:
            last = self._heard.get(sender)
            if last is not None and at <= last:
                return False
            if not remember:
                return True
            self._heard[sender] = at
            self._heard.move_to_end(sender)
            if len(self._heard) > _REMEMBERED:
                self._heard.popitem(last=False)
            return True
