"""Fires due schedules. All schedulers do so at the same time, without a leader; each scheduled time fires once.

A transaction claims some due schedules (it skips rows that another scheduler has locked), records one fire for each
scheduled time, creates the runs, and updates each schedule. Until the next due time the loop sleeps, and polls every
30 s. When a DAG changes, its schedule row is adopted, i.e. computed again: by the process that changed the DAG, right
after the commit, or by another scheduler in its next poll.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from services.scheduler.commands.definitions import WAS_SUSPENDED
from services.scheduler.core import fires as core
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.fired_runs import FiredRuns
from services.scheduler.metrics import SCHEDULES_UNREADABLE
from shared.errors import Conflict, StoreUnavailable
from shared.language.load import load
from shared.language.model import Schedule
from shared.language.summary import summary_dag

__all__ = ["FORGET_AT_ONCE", "Firing"]

_log = logging.getLogger(__name__)
Row = Mapping[str, Any]

_LOOK_EVERY_S = 30
_CLOCK_S = 1.0
"""How often a clock is read that may jump at any time."""
_AT_ONCE = 100
_ADOPT_AT_ONCE = 200
_KEEP_LEDGER = timedelta(days=90)
_TIDY_EVERY_S = 3600
FORGET_AT_ONCE = 1000
_ASK_AGAIN = timedelta(hours=1)
"""If this version cannot read the spec of a due DAG, it tries again after this time."""
_EDITED = "the DAG was edited before this time was decided"
_FORGET_BEFORE = timedelta(days=1)
"""How far back a schedule that is adopted for the first time begins: older scheduled times are never decided."""


class Firing:
    """Fires schedules. ``tz`` is the time zone of cron expressions that have none."""

    def __init__(self, transactor: Transactor, tz: ZoneInfo) -> None:
        self._transactor = transactor
        self._tz = tz
        self._awake = threading.Event()
        self._paused = False
        self._seek_at_s = 0.0
        """When the loop seeks new and changed DAGs again: it looks at all of them, so it does not for each fire."""
        transactor.store.clock.on_jump(self._awake.set)

    def follow(self, after: PostCommit) -> None:
        """If DAGs or pauses changed, compute when they are due next, and wake the loop.

        Whoever hears that a DAG is stored then reads its next run too. If the database is busy, the loop does it.
        """
        if len(after.dags) > _ADOPT_AT_ONCE:
            self._seek_at_s = 0
        elif after.dags:
            try:
                self.adopt(sorted(after.dags))
            except (StoreUnavailable, Conflict):
                self._seek_at_s = 0
        if after.dags or after.pauses:
            self._awake.set()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._awake.set()

    def adopt(self, names: Sequence[str] | None = None) -> int:
        """Compute the next due times of new and changed DAGs, up to 200 of them; return how many.

        ``names``: which DAGs to look at; ``None`` for all.
        """
        return self._transactor.decide(lambda batch: self._adopt(batch, names))

    def fire_due(self) -> int:
        """Decide all scheduled times that are due; return for how many DAGs.

        Whether a scheduled time is late is judged at the start of this call, even if the call takes long.
        """
        judged_at = self._transactor.clock()
        total = 0
        while count := self._transactor.decide(lambda batch: self._fire(batch, judged_at)):
            total += count
        return total

    def run(self, stop: threading.Event) -> None:
        """Fire until ``stop``; the body of a background thread."""
        next_tidy = time.monotonic() + _TIDY_EVERY_S
        while not stop.is_set():
            self._awake.clear()
            try:
                due = self._next_due()
                if due is not None and due <= self._transactor.clock():
                    fired = self.fire_due()
                    due = self._next_due()
                    if self._paused:
                        due = None
                    elif fired == 0 and due is not None and due <= self._transactor.clock():
                        # Another scheduler has claimed the due schedule. Look again, in case that scheduler dies.
                        due = self._transactor.clock() + timedelta(seconds=1)
                if time.monotonic() >= next_tidy:
                    if self.tidy() == FORGET_AT_ONCE:
                        continue  # There are more, but first whatever has become due meanwhile.
                    next_tidy = time.monotonic() + _TIDY_EVERY_S
            except StoreUnavailable as error:
                _log.warning("firing.waits", extra={"error": str(error)})
                stop.wait(1)
                continue
            self._sleep(due, stop)

    def _sleep(self, due: datetime | None, stop: threading.Event) -> None:
        # The database's time jumps only when it is measured, which ends the wait. Any other clock is read every second.
        clock = self._transactor.clock
        longest_s = _LOOK_EVERY_S if clock is self._transactor.store.clock and clock.measured else _CLOCK_S
        end_s = time.monotonic() + _LOOK_EVERY_S
        while not stop.is_set() and (rest_s := end_s - time.monotonic()) > 0:
            left_s = rest_s if due is None else (due - clock()).total_seconds()
            if left_s <= 0 or self._awake.wait(min(left_s, longest_s, rest_s)):
                return

    def _next_due(self) -> datetime | None:
        seek = time.monotonic() >= self._seek_at_s
        if seek:
            # First, so that a change that another thread notes meanwhile is sought too.
            self._seek_at_s = time.monotonic() + _LOOK_EVERY_S
        try:
            with self._transactor.store.begin() as tx:
                unknown = tx.schedules.unknown(self._tz.key, 1) if seek else []
                due = tx.schedules.next_fire_at()
            if not unknown:
                return due
            while self.adopt() == _ADOPT_AT_ONCE:
                pass
        except (StoreUnavailable, Conflict):
            self._seek_at_s = 0
            raise
        with self._transactor.store.begin() as tx:
            return tx.schedules.next_fire_at()

    def tidy(self) -> int:
        """Delete fires that are older than 90 days, at most 1000; return how many."""
        with self._transactor.store.begin() as tx:
            return tx.schedules.forget_fires(self._transactor.clock() - _KEEP_LEDGER, FORGET_AT_ONCE)

    # -- adopting -----------------------------------------------------------------------------

    def _adopt(self, batch: Batch, names: Sequence[str] | None) -> int:
        rows = batch.tx.schedules
        found = rows.unknown(self._tz.key, _ADOPT_AT_ONCE, names)
        known = rows.lock_all([dag["file_name"] for dag in found])
        pauses = {(row["scope"], row["name"]) for row in batch.tx.pauses.open()}
        made = []
        for dag in found:
            name = dag["file_name"]
            old = known.get(name)
            paused = ("dag", name) in pauses
            since = max(dag["updated_at"], batch.now - _FORGET_BEFORE)
            if old is not None:
                since = self._decided_until(batch, dag, old, paused=paused or ("global", "") in pauses)
            schedule = Schedule() if dag["errors"] or paused else self._present_schedule(batch, dag)
            made.append(
                {
                    "file_name": name,
                    "dag_version": dag["version"],
                    "zone": self._tz.key,
                    "decided_until": since,
                    "next_fire_at": core.first_fire(schedule, since, self._tz),
                    "next_start_at": core.first_start(schedule, since, self._tz),
                }
            )
        rows.put(made)
        return len(made)

    def _decided_until(self, batch: Batch, dag: Row, old: Row, *, paused: bool) -> datetime:
        """Return the time at which the current schedule of an edited or resumed DAG takes effect.

        Earlier scheduled times belong to the previous schedule. In a pause, or after an outage, they have no outcome
        yet. They go on waiting if the edit did not change the schedule; otherwise they are recorded as missed. A DAG
        with errors has no scheduled times, but a pause may outlast the errors. If the DAG was suspended, they are
        recorded as skipped.
        """
        decided: datetime = old["decided_until"]
        if old["dag_version"] == dag["version"]:
            return decided
        edited: datetime = max(dag["updated_at"], decided)
        pending: datetime | None = old["next_fire_at"]
        suspended = old["dag_version"] == WAS_SUSPENDED
        if pending is not None and pending > edited:
            return edited
        name = dag["file_name"]
        present = Schedule() if dag["errors"] and not paused else self._present_schedule(batch, dag)
        former = present if suspended else self._schedule_of(batch, name, old["dag_version"], faulty=paused)
        if former == present and not suspended:
            return decided
        times = core.due_times(former, decided, edited, self._tz).times
        # What both schedules have in the minute of the edit is not late: it still fires.
        before = edited.replace(second=0, microsecond=0) - timedelta(microseconds=1)
        both = {scheduled.at for scheduled in core.due_times(present, before, edited, self._tz).times}
        if any(scheduled.at in both for scheduled in times):
            edited = before
        dags = {row["file_name"]: row for row in batch.tx.schedules.dags([name])}
        runs = FiredRuns(batch, self._tz, dags)
        settled = [scheduled for scheduled in times if scheduled.at <= edited]
        fires = core.skipped(settled) if suspended else [core.Fire(each, "missed", _EDITED) for each in settled]
        ledger = [entry for fire in fires if (entry := runs.carry_out(name, fire))]
        batch.tx.schedules.add_new_fires(ledger)
        batch.after.fires.extend(str(entry["outcome"]) for entry in ledger)
        return edited

    def _present_schedule(self, batch: Batch, dag: Row) -> Schedule:
        """Return the schedule in the DAG's stored summary, so that ten thousand new files need not be parsed again."""
        try:
            return summary_dag(dag["summary"]).schedule
        except ValidationError as error:
            # A summary stored by an earlier version may lack fields. Then the schedule is read from the spec.
            _log.warning("firing.summary_unreadable", extra={"dag": dag["file_name"], "error": str(error)})
            return self._schedule_of(batch, dag["file_name"], dag["version"], faulty=True)

    def _schedule_of(self, batch: Batch, file_name: str, version: int, *, faulty: bool) -> Schedule:
        """Return the schedule of a version of a DAG. ``faulty``: even if that version has errors."""
        stored = batch.tx.dags.version(file_name, version)
        if stored is None:
            return Schedule()
        text = batch.tx.dags.spec_texts([stored["spec_hash"]])[stored["spec_hash"]]
        loaded = load(text, file_name=file_name)
        return Schedule() if loaded.dag is None or (loaded.errors and not faulty) else loaded.dag.schedule

    def _plans(self, batch: Batch, dags: Sequence[Row]) -> dict[str, Plan]:
        """Return plans by file name. DAGs in whose stored specs this version finds errors are left out and logged."""
        keys = [(dag["spec_hash"], dag["file_name"]) for dag in dags if not dag["errors"]]
        plans = {key[1]: plan for key, plan in batch.plans.get_many(batch.tx, keys).items()}
        for name, plan in plans.items():
            if plan.errors:
                # The spec had no errors when it was stored, so another version of Dagway stored it.
                why = "; ".join(plan.errors)
                _log.error("schedule.unreadable", extra={"dag": name, "why": why, "next": "correct the DAG's spec"})
                SCHEDULES_UNREADABLE.inc()
        return {name: plan for name, plan in plans.items() if not plan.errors}

    # -- firing -------------------------------------------------------------------------------

    def _fire(self, batch: Batch, judged_at: datetime) -> int:
        rows = batch.tx.schedules
        pauses = batch.tx.pauses.all()
        self._paused = any(row["scope"] == "global" and row["resumed_at"] is None for row in pauses)
        if self._paused:
            return 0
        claimed = rows.claim_due(judged_at, _AT_ONCE)
        if not claimed:
            return 0
        dags = {row["file_name"]: row for row in rows.dags([row["file_name"] for row in claimed])}
        versions = {name: dag["version"] for name, dag in dags.items()}
        edited = [row for row in claimed if versions.get(row["file_name"], row["dag_version"]) != row["dag_version"]]
        # What is due of these may be due by the schedule before the edit.
        adopted = self._adopt(batch, [row["file_name"] for row in edited]) if edited else 0
        claimed = [row for row in claimed if row not in edited]
        names = [row["file_name"] for row in claimed]
        plans = self._plans(batch, list(dags.values()))
        runs = FiredRuns(batch, self._tz, dags)
        fires: dict[str, tuple[core.Fire, ...]] = {}
        moved = []
        for row in claimed:
            name = row["file_name"]
            plan = plans.get(name)
            due, until = self._due(row, dags.get(name), plan, judged_at)
            if plan is not None:
                fires[name] = core.decide(
                    due.times,
                    judged_at,
                    runs.plan_of(name).dag.catchup,
                    suspended=dags[name]["suspended"],
                    pauses=_over(pauses, name),
                )
            moved.append(
                {
                    "file_name": name,
                    "decided_until": until,
                    "next_fire_at": due.next_fire,
                    "next_start_at": due.next_start,
                }
            )
        runs.prepare(fires)
        ledger = [entry for name in names for fire in fires.get(name, ()) if (entry := runs.carry_out(name, fire))]
        batch.tx.schedules.add_fires(ledger)
        batch.after.fires.extend(str(entry["outcome"]) for entry in ledger)
        rows.save_decided(moved)
        return len(claimed) + adopted

    def _due(self, row: Row, dag: Row | None, plan: Plan | None, judged_at: datetime) -> tuple[core.DueTimes, datetime]:
        """Return the times of a claimed schedule that are due, and the time up to which they are then decided."""
        until: datetime = row["decided_until"]
        if plan is not None:
            return core.due_times(plan.dag.schedule, until, judged_at, self._tz), max(until, judged_at)
        if dag is not None and not dag["errors"]:
            # The due times stay undecided until a version that can read the spec runs.
            return core.DueTimes((), judged_at + _ASK_AGAIN, None), until
        return core.DueTimes((), None, None), max(until, judged_at)


def _over(pauses: Sequence[Row], file_name: str) -> tuple[core.Pause, ...]:
    """Return the ended pauses of a DAG, including global pauses: they decide the scheduled times that they covered."""
    return tuple(
        core.Pause(row["paused_at"], row["resumed_at"], row["paused_by"], row["catchup"])
        for row in pauses
        if row["resumed_at"] is not None
        and (row["scope"] == "global" or (row["scope"], row["name"]) == ("dag", file_name))
    )
