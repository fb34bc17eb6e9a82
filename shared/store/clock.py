"""The database's time, which all schedulers share: a host whose clock is wrong neither fires early nor judges wrongly.

The time is measured at most once a second, in a transaction that is open anyway. Between two measurements this
process's monotonic clock continues it. The answer of the database took some time, so a measurement gives a range. The
clock moves only as far as the range demands: a slow answer says little and changes little (after Marzullo's algorithm,
RFC 5905, appendix A.5.5.1).
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from shared.store.engine import is_postgres

__all__ = ["SKEW_ALLOWED_S", "StoreClock"]

_log = logging.getLogger(__name__)

SKEW_ALLOWED_S = 2.0
"""A larger difference between the host's clock and the database's is logged; an alert has the same limit."""
_MEASURE_EVERY_S = 1.0
_JUMP_S = 0.1
_NOW = text("SELECT clock_timestamp()")


class StoreClock:
    """Returns the database's time when called; on SQLite, and before the first measurement, ``own`` time.

    ``steady`` returns seconds that never jump, as ``time.monotonic`` does. Thread-safe.
    """

    def __init__(self, own: Callable[[], datetime], steady: Callable[[], float] = time.monotonic) -> None:
        self._own, self._steady = own, steady
        self._lock = threading.Lock()
        self._ahead_s: float | None = None
        """The database's time (seconds since 1970) minus the monotonic clock."""
        self._measured_at = float("-inf")
        self._on_jump: list[Callable[[], None]] = []
        self.skew_s = 0.0
        """How far the host's clock was ahead of the database's at the last measurement."""

    def __call__(self) -> datetime:
        ahead_s = self._ahead_s
        return self._own() if ahead_s is None else datetime.fromtimestamp(self._steady() + ahead_s, UTC)

    @property
    def measured(self) -> bool:
        """Whether this is the database's time, which jumps only when it is measured. The host's can at any time."""
        return self._ahead_s is not None

    def on_jump(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which must return at once, after a measurement that moved this clock by 0.1 s or more."""
        self._on_jump.append(callback)

    def follow(self, connection: Connection) -> None:
        """Measure the time of the connection's database, unless that was done less than a second ago."""
        if self._steady() - self._measured_at >= _MEASURE_EVERY_S and is_postgres(connection):
            self._measured_at = self._steady()
            self.measure(lambda: connection.execute(_NOW).scalar_one())

    def measure(self, ask: Callable[[], datetime]) -> None:
        """Correct this clock by the time that ``ask`` returns."""
        before_s = self._steady()
        answer = ask()
        own, after_s = self._own(), self._steady()
        least, most = answer.timestamp() - after_s, answer.timestamp() - before_s
        with self._lock:
            known = self._ahead_s
            self._ahead_s = (least + most) / 2 if known is None else min(max(known, least), most)
            jumped = known is None or abs(self._ahead_s - known) >= _JUMP_S
            differed = abs(self.skew_s) > SKEW_ALLOWED_S
            self.skew_s = own.timestamp() - (after_s + self._ahead_s)
        if jumped:
            for callback in self._on_jump:
                callback()
        if not differed and abs(self.skew_s) > SKEW_ALLOWED_S:
            facts = {
                "ahead_s": round(self.skew_s, 1),
                "next": "synchronise the clock of this host, by NTP for instance",
            }
            _log.warning("clock.differs", extra=facts)
