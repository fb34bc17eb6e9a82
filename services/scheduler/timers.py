"""Timers: rows with a due time, handled by whichever scheduler gets to them first.

The scheduler that set a timer sleeps until then; the others look every few seconds, so a timer
outlives its setter by at most that.
"""

import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from services.scheduler.core.messages import TimerFired
from services.scheduler.events import record_notices
from shared.errors import StoreUnavailable

if TYPE_CHECKING:
    from services.scheduler.batch import Batch
    from services.scheduler.shell import Shell

__all__ = ["Alarm", "fire_due", "run_timers"]

_LOOK_EVERY_S = 10
_AT_ONCE = 200


class Alarm:
    """The next moment the timer thread must wake at; other threads may bring it forward."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._next: datetime | None = None

    def set(self, moment: datetime) -> None:
        with self._condition:
            if self._next is None or moment < self._next:
                self._next = moment
                self._condition.notify_all()

    def wait(self, now: datetime, stop: threading.Event) -> None:
        """Wait until the moment set, the next look, or ``stop`` (noticed within half a second)."""
        began = time.monotonic()
        with self._condition:
            while not stop.is_set():
                target = now + timedelta(seconds=_LOOK_EVERY_S)
                if self._next is not None:
                    target = min(target, self._next)
                left_s = (target - now).total_seconds() - (time.monotonic() - began)
                if left_s <= 0:
                    break
                self._condition.wait(min(left_s, 0.5))
            self._next = None


def fire_due(shell: "Shell") -> int:
    """Handle what is due now; return how many timers fired."""
    now = shell.clock()
    with shell.store.begin() as tx:
        due = tx.due_timers(now, _AT_ONCE)
        if not due:
            moment = tx.next_timer()
            if moment is not None:
                shell.alarm.set(moment)
            return 0

    def work(batch: "Batch") -> int:
        # The run first, its timer second: the order in which reports lock them too.
        keys = sorted({row["run_key"] for row in due})
        batch.load(keys)
        still = batch.tx.timers_due(keys, now)
        batch.tx.delete_timers([(row["run_key"], row["node"], row["kind"]) for row in still])
        record_notices(batch, [(row["run_key"], TimerFired(row["node"], row["kind"])) for row in still])
        return len(still)

    return shell.decide(work)


def run_timers(shell: "Shell", stop: threading.Event) -> None:
    """Fire timers until ``stop``; the body of a background thread."""
    while not stop.is_set():
        try:
            while fire_due(shell):
                pass
        except StoreUnavailable:
            stop.wait(1)
            continue
        shell.alarm.wait(shell.clock(), stop)
