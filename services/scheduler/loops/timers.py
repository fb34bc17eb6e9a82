"""Fires timers, i.e. rows with a due time. The first scheduler that finds a due timer fires it.

The scheduler that set a timer sleeps until it is due. The others hear of it from ``Poll``, so a timer of a scheduler
that died fires at most 10 s late.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from services.scheduler.core.messages import TimerFired
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import record_notices
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.transactor import Transactor
from shared.errors import RowsLocked, StoreUnavailable
from shared.status import TimerKind

__all__ = ["Timers"]

_AT_ONCE = 200
_CLOCK_S = 10.0
"""How often a timer that is set is compared with the clock, which may jump."""


class Timers:
    """Fires due timers, including timers that other schedulers set."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor
        self._condition = threading.Condition()
        self._next: datetime | None = None
        """The earliest time that was noted since the last wait."""

    def follow(self, after: PostCommit) -> None:
        if after.wake_at is not None:
            self.note(after.wake_at)

    def note(self, due_at: datetime) -> None:
        """Note when a timer is due, perhaps one that another scheduler set."""
        with self._condition:
            if self._next is None or due_at < self._next:
                self._next = due_at
                self._condition.notify_all()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        with self._condition:
            self._condition.notify_all()

    def fire_due(self) -> int:
        """Fire up to 200 due timers; return how many fired."""
        now = self._transactor.clock()
        with self._transactor.store.begin() as tx:
            due = tx.timers.due(now, _AT_ONCE)
            if not due:
                moment = tx.timers.next_due_at()
                if moment is not None:
                    self.note(moment)
                return 0

        def work(batch: Batch, keys: Sequence[str]) -> int:
            # Lock the runs before their timers, in the same order as reports do.
            batch.runs.load(keys)
            still = batch.tx.timers.due_of(keys, now)
            batch.tx.timers.delete([(row["run_key"], row["node"], row["kind"]) for row in still])
            record_notices(batch, [(row["run_key"], TimerFired(row["node"], TimerKind(row["kind"]))) for row in still])
            return len(still)

        keys = sorted({row["run_key"] for row in due})
        try:
            return self._transactor.decide(lambda batch: work(batch, keys))
        except RowsLocked:
            locked = self._transactor.one_by_one(keys, lambda batch, key: work(batch, [key]))
            # The timers of locked runs are tried again after the next wait.
            self.note(now + timedelta(seconds=1))
            return 0 if locked else len(due)

    def run(self, stop: threading.Event) -> None:
        """Fire timers until ``stop``; the body of a background thread."""
        while not stop.is_set():
            try:
                while self.fire_due():
                    pass
            except StoreUnavailable:
                stop.wait(1)
                continue
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        """Wait until the earliest noted time, or ``stop`` (noticed at ``wake``)."""
        with self._condition:
            while not stop.is_set():
                if self._next is None:
                    self._condition.wait()
                    continue
                left_s = (self._next - self._transactor.clock()).total_seconds()
                if left_s <= 0:
                    break
                self._condition.wait(min(left_s, _CLOCK_S))
            self._next = None
