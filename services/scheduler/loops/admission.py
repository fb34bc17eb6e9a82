"""Admission: starts queued runs when their queue has free places.

It uses one transaction per queue, under the lock of the queue's row, so that no limit is exceeded even if several
schedulers admit runs at the same time. Commits of this process wake it. A look at all queues at the start, and every
20 s however busy it is, admits the runs that other schedulers did not, for instance because they died.
"""

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from services.scheduler.core.messages import Begin
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.rows import plan_key
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.regular_look import RegularLook
from shared.admission.runs import (
    PRIORITIES,
    Admitted,
    Moment,
    OpenPause,
    QueuedRun,
    QueueState,
    admission_order,
    admit,
    admit_borrowers,
    capacity_of,
    pauses_queue,
)
from shared.admission.turns import by_turns
from shared.errors import RowsLocked, StoreUnavailable
from shared.workspaces import workspace_of

__all__ = ["Admission"]

_AT_ONCE = 100
_PAGE = 50
_CLOCK_S = 0.5
"""While runs wait for a time, how often it is compared with the clock."""
_FREED_S = 0.05
"""How long a free place waits for the look that finds no run for it, if no queue is known to have queued runs."""
_LOOK_AT = 5000
"""How many queued runs of one priority are looked at, if the first runs may not start yet."""


class Admission:
    """Admits runs of the queues that it is notified of. ``steady`` is a clock in seconds."""

    def __init__(self, transactor: Transactor, steady: Callable[[], float] = time.monotonic) -> None:
        self._transactor = transactor
        self._look = RegularLook[str](steady)
        self._condition = threading.Condition()
        self._steady = steady
        self._queues: set[str] = set()
        self._freed: set[str] = set()
        self._freed_due_s = 0.0
        self._busy: set[str] = set()
        """Queues that had queued runs when they were last looked at."""
        self._wake_at: dict[str, datetime] = {}

    def follow(self, after: PostCommit) -> None:
        if after.queues:
            self.notify(after.queues)
        if after.freed:
            self.note_freed(after.freed)

    def notify(self, queues: Iterable[str]) -> None:
        """Note that a run was queued in these queues, or that a run may start there for another reason."""
        with self._condition:
            self._queues.update(queues)
            self._condition.notify_all()

    def note_freed(self, queues: Iterable[str]) -> None:
        """Note that a place became free in these queues.

        Most runs end while nothing is queued anywhere: then the look waits a moment, and serves all runs that end
        meanwhile.
        """
        with self._condition:
            first = not self._freed
            self._freed.update(queues)
            if first:
                self._freed_due_s = self._steady() + _FREED_S * (not self._busy)
                self._condition.notify_all()

    def want_look(self) -> None:
        """Let the next regular look find runs that wait in some queue."""
        with self._condition:
            self._look.want()
            self._condition.notify_all()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        with self._condition:
            self._condition.notify_all()

    def admit(self, queue: str) -> int:
        """Start as many queued runs as the queue allows; return how many.

        A sub-run may take the place of a running run above it in the same queue.
        Source: docs/schedules.md#queues.
        """

        def work(batch: Batch) -> tuple[int, datetime | None]:
            # Before the queue, as everybody locks them.
            room = batch.quotas.room(workspace_of(queue))
            row = batch.tx.queues.lock(queue)
            pauses = [OpenPause(one["scope"], one["name"]) for one in batch.tx.pauses.open()]
            if row is None or pauses_queue(pauses, queue):
                return 0, None
            # Counted before the borrowers are read: if a run ends in between, the count is too high, never too low.
            taken = batch.tx.queues.places_taken(queue)
            lent = self._lent(batch, queue, pauses)
            waiting = (pair for pair in self._waiting(batch, queue, pauses) if pair[0].run_key not in lent)
            chosen = Admitted(())
            if (first := next(waiting, None)) is not None:
                state = QueueState(queue, _capacity(batch, row, first[1]), taken)
                every = (run for run, _ in chain([first], waiting))
                chosen = admit(every, _moment(batch, pauses), free=min(state.free, _AT_ONCE), room=room)
            keys = (*lent, *chosen.keys)
            batch.runs.load(keys)
            begun = [key for key in keys if batch.runs.get(key) is not None]
            for key in begun:
                batch.apply(key, Begin("scheduler"))
            return len(begun), chosen.wake_at

        count, wake_at = self._transactor.decide(work)
        with self._condition:
            self._wake_at.pop(queue, None)
            if wake_at is not None:
                self._wake_at[queue] = wake_at
        return count

    def _lent(self, batch: Batch, queue: str, pauses: list[OpenPause]) -> tuple[str, ...]:
        """Return the keys of queued sub-runs that may start in the place of a running run above them."""
        lenders = batch.tx.queues.borrowers(queue)
        if not lenders:
            return ()
        runs = (run for run, _ in self._waiting(batch, queue, pauses, sorted(lenders)))
        return admit_borrowers(runs, _moment(batch, pauses), lenders)

    def _waiting(
        self, batch: Batch, queue: str, pauses: list[OpenPause], only: Sequence[str] = ()
    ) -> Iterator[tuple[QueuedRun, dict[str, Any]]]:
        """Yield the queued runs of a queue in the order of admission, each with its row."""
        # Each priority has its own query, and new runs may be queued between the queries. The highest priority is read
        # last: so if a run was read, no run that goes before it and was queued earlier can have been missed.
        paused = sorted(pause.name for pause in pauses if pause.scope == "dag")
        streams = [self._of_priority(batch, queue, priority, paused, only) for priority in PRIORITIES]
        return heapq.merge(*streams, key=lambda pair: admission_order(pair[0]))

    def _of_priority(
        self, batch: Batch, queue: str, priority: int, paused: list[str], only: Sequence[str]
    ) -> Iterator[tuple[QueuedRun, dict[str, Any]]]:
        beyond: tuple[datetime, str] | None = None
        seen = 0
        while seen < _LOOK_AT:
            found = batch.tx.queues.candidates(
                queue, priority, beyond=beyond, without_dags=paused, only=only, limit=_PAGE
            )
            plans = batch.plans.get_many(batch.tx, [plan_key(row) for row in found])
            for row in found:
                yield _queued_run(queue, row, plans[plan_key(row)].dag.worker_selector), row
            if len(found) < _PAGE:
                return
            seen += len(found)
            beyond = (found[-1]["queued_at"], found[-1]["run_key"])

    def run(self, stop: threading.Event) -> None:
        """Admit until ``stop``; the body of a background thread."""
        while not stop.is_set():
            queues: list[str] = []
            try:
                queues = by_turns(self._next(stop))
                again: list[str] = []
                for queue in queues:
                    try:
                        if self.admit(queue) >= _AT_ONCE:
                            again.append(queue)
                    except RowsLocked:
                        # Another transaction has locked a run or the queue: first serve the other queues.
                        again.append(queue)
                # Together with the queues that were noted meanwhile, so that none waits for all runs of another.
                self.notify(again)
            except StoreUnavailable:
                self.notify(queues)
                stop.wait(1)

    def _next(self, stop: threading.Event) -> set[str]:
        with self._condition:
            while not self._queues and not stop.is_set() and not self._look.due and self._freed_in_s != 0:
                # The clock may jump.
                waits_s = (_CLOCK_S if self._wake_at else None, self._look.due_in_s, self._freed_in_s)
                self._condition.wait(min((each for each in waits_s if each is not None), default=None))
                now = self._transactor.clock()
                for name in [name for name, at in self._wake_at.items() if at <= now]:
                    del self._wake_at[name]
                    self._queues.add(name)
            queues, self._queues, self._freed = self._queues | self._freed, set(), set()
        if stop.is_set():
            return queues
        try:
            with self._transactor.store.read() as tx:
                # A run that is queued later wakes its scheduler's admission.
                # A place of a workspace's quota that became free is one for all its queues.
                noted = tx.queues.with_queued(queues) if queues else set()
                found = noted | set(self._look.next(tx.queues.busy))
        except StoreUnavailable:
            self.notify(queues)
            raise
        self._busy = (self._busy - queues) | found
        return found

    @property
    def _freed_in_s(self) -> float | None:
        return max(0.0, self._freed_due_s - self._steady()) if self._freed else None


def _capacity(batch: Batch, queue: Mapping[str, Any], first: Mapping[str, Any]) -> int:
    limit: int | None = queue["max_concurrency"]
    if limit is not None:
        return limit
    return capacity_of(None, batch.plans.get(batch.tx, plan_key(first)).dag.max_active_runs)


def _moment(batch: Batch, pauses: list[OpenPause]) -> Moment:
    return Moment(batch.now, batch.tx.queues.worker_labels(batch.now), pauses, batch.worker_pools.reserved)


def _queued_run(queue: str, row: dict[str, Any], selector: dict[str, str]) -> QueuedRun:
    return QueuedRun(
        run_key=row["run_key"],
        queued_at=row["queued_at"],
        priority=row["priority"],
        selector=selector,
        queue=queue,
        file_name=row["file_name"] or "",
        is_root=row["root_key"] is None,
        not_before=row["not_before"],
        after_status=row["after_status"],
        after_finished_at=row["after_finished_at"],
        wait_s=row["wait_s"] or 0,
    )
