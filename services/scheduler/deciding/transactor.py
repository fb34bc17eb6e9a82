"""Runs one transaction per batch of decisions, then the post-commit actions.

The order guarantees that no message is lost: commit, publish the outbox, notify workers, reply, and only then ack. A
crash at any point leaves either no change, or a committed row of the outbox that the sweep finds and sends.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from threading import Event as StopEvent
from typing import Any, TypeVar

from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import Notice, record_notices, tell_of_unrecorded
from services.scheduler.deciding.held_reports import HeldReport, may_wait
from services.scheduler.deciding.limits.log_quotas import LogQuotas
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.recent import RecentRun
from services.scheduler.deciding.sub_runs import family
from services.scheduler.deciding.traces import trace_reports
from shared.contracts.codec import Envelope
from shared.contracts.events import AttemptStarted
from shared.errors import (
    AlreadyExists,
    Conflict,
    InvariantBroken,
    RowsLocked,
    StaleVersion,
    StoreUnavailable,
    Unavailable,
)
from shared.faults import point
from shared.service import backoff_s
from shared.store.writes.transaction import Store
from shared.transport.base import Delivery

__all__ = ["PROTOCOL", "Transactor"]

PROTOCOL = 1
"""What schedulers must have in common to share runs: chains from the preparation of a run to its handlers (ADR 63), and
the states of sub-runs in a column of their own."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
_TRIES = 5
_TEMPORARY = (Unavailable, Conflict)


class Transactor:
    """Runs batches of decisions in transactions; shared by all threads of a scheduler.

    ``clock`` returns the time of each batch.
    """

    def __init__(self, store: Store, memory: SchedulerMemory, clock: Callable[[], datetime]) -> None:
        self.store = store
        self.memory = memory
        self.clock = clock
        # The new connection may be the first to another primary, after a failover that this process did not notice.
        store.on_connect(self._doubt_commits)
        self._followers: list[Callable[[PostCommit], None]] = []

    def after_commit(self, *followers: Callable[[PostCommit], None]) -> None:
        """Register followers: functions to call after each commit, in this order, before ``decide`` returns."""
        self._followers.extend(followers)

    def note_schedulers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note which schedulers there are: rows of the table ``services``, this process's own included.

        While one of an earlier version lives, tasks bring no other steps: it would send the next step of a chain to
        another worker as well. And the states of sub-runs are written as it reads them.
        """
        self.memory.same_protocol = all((row["protocol"] or 0) >= PROTOCOL for row in rows)

    def decide(self, work: Callable[[Batch], T], *, wait: bool = True) -> T:
        """Run ``work`` in one transaction, then call the followers.

        If another transaction changed a run or took a key, ``work`` runs again, up to five times in all. If it failed
        in any other way together with reports that waited, it runs again without them. ``wait``: whether to wait for
        runs that another transaction has locked, until the time limit of the session.

        Raises:
            StoreUnavailable: the database is unavailable. Nothing was changed, unless the connection broke during
                the commit.
            RowsLocked: another transaction has locked a row. Nothing was changed.
            StaleVersion, AlreadyExists: the last try failed too.
        """
        for attempt in range(_TRIES):
            try:
                batch, result = self._try(work, again=attempt > 0, wait=wait)
            except (StaleVersion, AlreadyExists):
                if attempt == _TRIES - 1:
                    raise
                continue
            recent = (RecentRun(each.run, each.fixed) for each in batch.runs.entries() if not each.deleted)
            self.memory.recent.keep(recent, batch.runs.era)
            if batch.runs.era == self.memory.recent.era:
                self.memory.plans.keep_snapshots(batch.after.snapshots)
            if batch.after.rules:
                self._read_rules()
            if batch.after.changed:
                point("scheduler.committed")
            try:
                for follow in self._followers:
                    follow(batch.after)
                trace_reports((each.envelope for each in batch.held_reports), batch.began_at, self.clock())
            finally:
                self.memory.held.recorded(batch.held_reports)
            return result
        raise AssertionError("unreachable")

    def _doubt_commits(self) -> None:
        """Forget what was committed: after a failover another database may answer, without the last commits."""
        self.memory.recent.clear()
        self.memory.plans.forget_snapshots()

    def _read_rules(self) -> None:
        try:
            with self.store.begin() as tx:
                self.memory.rules.read(tx)
        except StoreUnavailable as error:
            # The next pass over the leases reads them.
            _log.info("rules.not_read", extra={"error": str(error)})

    def _try(self, work: Callable[[Batch], T], *, again: bool, wait: bool) -> tuple[Batch, T]:
        """Run ``work`` in one transaction. The caller tries again, on locked rows, after ``StaleVersion``."""
        batch: Batch | None = None
        try:
            with self.store.begin() as tx:
                batch = Batch(tx, self.memory, self.clock, again=again, wait=wait)
                result = work(batch)
                family.start_and_stop_children(batch)
                tell_of_unrecorded(batch)
                batch.runs.confirm()
                logs = LogQuotas(tx, batch.now, self.memory.rules)
                batch.pending.log_chunks = logs.cut(batch.pending.log_chunks)
                batch.after.removed = batch.pending.flush(tx, batch.runs.entries(), unlocked=batch.runs.unlocked)
                logs.count()
        except BaseException as error:
            if isinstance(error, StoreUnavailable) and not isinstance(error, RowsLocked):
                self._doubt_commits()
            if batch is not None:
                # A report that waited may have made this fail, and must cost no other work: that is tried without it.
                apart = bool(batch.held_reports) and isinstance(error, Exception) and not isinstance(error, _TEMPORARY)
                self.memory.held.give_back(batch.held_reports, apart=apart)
                self.memory.recent.drop(batch.runs.taken_from_cache())
                if apart:
                    raise StaleVersion(f"failed with a report that waited: {type(error).__name__}") from error
                if batch.runs.unlocked and isinstance(error, InvariantBroken):
                    # The cached run was deleted or has changed since.
                    raise StaleVersion(str(error)) from error
            raise
        return batch, result

    def decide_patiently(self, work: Callable[[Batch], T], stop: StopEvent, *, wait: bool = True) -> T | None:
        """Like ``decide``, but retry while the database is unavailable; return ``None`` if ``stop`` is set first.

        Raises ``RowsLocked``: the database works, and the caller may have other work.
        """
        tries = 0
        while True:
            try:
                return self.decide(work, wait=wait)
            except RowsLocked:
                raise
            except StoreUnavailable as error:
                if tries == 0:
                    _log.warning("database.unavailable", extra={"error": str(error)})
                tries += 1
                if stop.wait(backoff_s(tries, cap_s=2)):
                    return None

    def hold(self, delivery: Delivery, envelope: Envelope) -> bool:
        """Let a report wait for the next decision about its run, if that delays nothing; return whether it waits."""
        event = envelope.body
        # One that comes again may have failed.
        if not isinstance(event, AttemptStarted) or delivery.redelivered:
            return False
        known = self.memory.recent.newest(event.run_key)
        if known is None or not may_wait(known.run, event):
            return False
        return self.memory.held.hold(HeldReport(delivery, envelope, event))

    def notice(self, notices: Iterable[tuple[str, Notice]]) -> set[str]:
        """Apply notices of a loop to their runs, in one transaction if possible. Each is ``(run key, notice)``.

        Returns the keys of runs that another transaction has locked; their notices had no effect.
        """
        noticed = list(notices)
        if not noticed:
            return set()
        try:
            self.decide(lambda batch: record_notices(batch, noticed))
        except RowsLocked:
            return self.one_by_one(
                {key for key, _ in noticed},
                lambda batch, key: record_notices(batch, [each for each in noticed if each[0] == key]),
            )
        return set()

    def one_by_one(self, keys: Iterable[str], work: Callable[[Batch, str], object]) -> set[str]:
        """Run ``work`` for each run in a transaction of its own; return the runs that another one has locked."""
        locked = set()
        for key in sorted(keys):
            try:
                self.decide(lambda batch, key=key: work(batch, key), wait=False)  # type: ignore[misc]
            except RowsLocked:
                locked.add(key)
        return locked
