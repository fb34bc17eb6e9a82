"""Checks the database against the guarantees every now and then, as ``dagway verify`` does, and measures violations.

Of several schedulers only one checks (``Turn``). The others say nothing, so that an old result of theirs is not taken
for a present one.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from services.scheduler.loops.turn import Turn
from services.scheduler.metrics import VERIFIED_AT, VIOLATIONS
from shared.errors import StoreUnavailable
from shared.store.writes.transaction import Store

if TYPE_CHECKING:
    from shared.store.checks.verify import CheckResult

__all__ = ["Verifying"]

_log = logging.getLogger(__name__)


class Verifying:
    """Runs in one thread of every scheduler. ``every_s``: the time between two checks."""

    def __init__(
        self,
        store: Store,
        verify: "Callable[[], Sequence[CheckResult]]",
        clock: Callable[[], datetime],
        turn: Turn,
        *,
        every_s: float,
    ) -> None:
        self._store = store
        self._verify = verify
        self._clock = clock
        self._turn = turn
        self._every_s = every_s

    def run_once(self) -> bool:
        """Check the database if it is this scheduler's turn; return whether it was.

        Raises:
            StoreUnavailable: the database is unavailable.
        """
        with self._store.begin() as tx:
            mine = self._turn.is_mine(tx)
        if not mine:
            VIOLATIONS.clear()
            VERIFIED_AT.set(0)
            return False
        results = self._verify()
        for result in results:
            VIOLATIONS.labels(result.check.name).set(result.count)
            if result.count:
                found = [one.text for one in result.shown]
                _log.error(
                    "verify.violations",
                    extra={
                        "check": result.check.name,
                        "count": result.count,
                        "first": found,
                        "next": "run dagway verify",
                    },
                )
        VERIFIED_AT.set(self._clock().timestamp())
        return True

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        while not stop.wait(self._every_s):
            try:
                self.run_once()
            except StoreUnavailable as error:
                _log.warning("verify.waits", extra={"error": str(error)})
            except Exception:  # noqa: BLE001 - a check that fails must not end a scheduler that works
                _log.exception("verify.failed")
