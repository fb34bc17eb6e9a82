"""Carries out the fires of due schedules: starts, stops or restarts runs, and returns the row of each fire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.scheduler.core import fires as core
from services.scheduler.core.messages import Begin, Stop
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.creation import new_run, queue_of, rerun
from services.scheduler.deciding.limits.quotas import QuotaExceeded
from services.scheduler.deciding.plans import SnapshotSource
from shared.errors import InvalidInput
from shared.status import RunStatus
from shared.workspaces import workspace_of

__all__ = ["FiredRuns"]

Row = Mapping[str, Any]
_BY = "schedule"
_ENDING = {core.STOP, core.RESTART}


class FiredRuns:
    """Carries out fires in one transaction. ``dags`` are by file name."""

    def __init__(self, batch: Batch, tz: ZoneInfo, dags: Mapping[str, Row]) -> None:
        self._batch = batch
        self._tz = tz
        self._dags = dags
        self._made_from: dict[str, tuple[str, Plan]] = {}
        """By file name: the hash and the plan of the spec that new runs get."""
        self._tx = batch.tx
        self._known: set[tuple[str, str, datetime]] = set()
        self._latest: Mapping[str, Row] = {}
        self._running: dict[str, list[str]] = {}
        self._global: set[str] = set()

    def prepare(self, fires: Mapping[str, tuple[core.Fire, ...]]) -> None:
        """Read the rows that all fires need, in a few queries; lock the runs that must be stopped."""
        every = [(name, fire.scheduled) for name, found in fires.items() for fire in found]
        if not every:
            return
        names = sorted({name for name, _ in every})
        self._known = self._tx.schedules.known_fires(names, min(scheduled.at for _, scheduled in every))
        self._latest = self._tx.runs.newest(names)
        dag_names = {name: str(self._dags[name]["dag_name"]) for name in names}
        self._running = self._tx.runs.running(sorted(set(dag_names.values())))
        self._global = self._tx.queues.global_queues(sorted({self._queue(name) for name in names}))
        started = [(name, fire.scheduled) for name, found in fires.items() for fire in found if fire.acts]
        self._batch.runs.find_names(
            [
                (dag_names[name], core.scheduled_run_id(name, scheduled.kind, scheduled.at))
                for name, scheduled in started
            ]
        )
        ending = {dag_names[name] for name, scheduled in started if scheduled.kind in _ENDING}
        self._batch.runs.load(key for dag_name in ending for key in self._running.get(dag_name, ()))

    def carry_out(self, file_name: str, fire: core.Fire) -> dict[str, Any] | None:
        """Start or stop runs and return the row of the fire, or ``None`` if one is recorded for the scheduled time."""
        scheduled = fire.scheduled
        if (file_name, scheduled.kind, scheduled.at) in self._known:
            return None
        if fire.acts:
            outcome, reason, run_id = self._act(file_name, fire)
        else:
            outcome, reason, run_id = fire.verdict, fire.reason, None
        return {
            "file_name": file_name,
            "kind": scheduled.kind,
            "slot_at": scheduled.at,
            "until_at": scheduled.until,
            "expression": scheduled.expression,
            "outcome": outcome,
            "reason": reason,
            "dag_name": self._dags[file_name]["dag_name"],
            "dag_run_id": run_id,
            "decided_at": self._batch.now,
        }

    def _act(self, file_name: str, fire: core.Fire) -> tuple[str, str, str | None]:
        scheduled = fire.scheduled
        dag_name = self._dags[file_name]["dag_name"]
        running = [key for key in self._running.get(dag_name, ()) if scheduled.kind == core.START or self._runs(key)]
        if scheduled.kind == core.START:
            if fire.verdict == "fire":
                dag = self.plan_of(file_name).dag
                why = core.guard(
                    scheduled,
                    self._latest_of(dag_name),
                    running=bool(running),
                    skip_if_successful=dag.skip_if_successful,
                    starts=dag.schedule.start,
                    file_name=file_name,
                    tz=self._tz,
                )
                if why:
                    return "skipped", why, None
            return self._start(file_name, fire)
        if scheduled.kind == core.RESTART:
            return self._restart(file_name, fire, running)
        if not running:
            return "skipped", "no run was running", None
        self._stop(running)
        first = self._batch.runs.get(running[0])
        return "fired", f"stopped {len(running)} run(s)", first.dag_run_id if first is not None else None

    def _stop(self, running: list[str]) -> None:
        for key in running:
            self._batch.apply(key, Stop(_BY))

    def _restart(self, file_name: str, fire: core.Fire, running: list[str]) -> tuple[str, str, str | None]:
        """Stop the running runs and make a new one. If there can be no new one, those that run go on.

        Source: docs/schedules.md#fired-skipped-and-missed-starts.
        """
        latest = self._latest_of(self._dags[file_name]["dag_name"])
        if latest is not None and latest.status is RunStatus.QUEUED and latest.is_of(file_name, core.RESTART):
            self._stop(running)
            return "skipped", f"the run of an earlier restart still waits: run {latest.dag_run_id}", None
        decided = self._repeat(file_name, fire, running[-1]) if running else self._start(file_name, fire)
        if decided[0] == "fired":
            self._stop(running)
        return decided

    def _runs(self, key: str) -> bool:
        run = self._batch.runs.get(key)
        return run is not None and run.status is RunStatus.RUNNING

    def _latest_of(self, dag_name: str) -> core.LatestRun | None:
        row = self._latest.get(dag_name)
        if row is None:
            return None
        began_at = min(at for at in (row["started_at"] or row["created_at"], row["queued_at"]) if at is not None)
        return core.LatestRun(row["dag_run_id"], RunStatus(row["status"]), began_at, row["scheduled_at"])

    def plan_of(self, file_name: str) -> Plan:
        """Return the plan of new runs of a DAG: of its spec, merged with the base configuration."""
        return self._spec_of(file_name)[1]

    def _spec_of(self, file_name: str) -> tuple[str, Plan]:
        if file_name not in self._made_from:
            batch, source = self._batch, SnapshotSource(self._dags[file_name]["spec_hash"])
            text_hash = batch.plans.store_snapshot(batch.tx, source, batch.now, batch.after.snapshots)
            self._made_from[file_name] = text_hash, batch.plans.get(batch.tx, (text_hash, file_name))
        return self._made_from[file_name]

    def _queue(self, file_name: str) -> str:
        return queue_of(self.plan_of(file_name).dag, str(self._dags[file_name]["dag_name"]))

    def _start(self, file_name: str, fire: core.Fire) -> tuple[str, str, str | None]:
        """Start the run of a scheduled time, or queue it if its queue is global or the time is caught up."""
        scheduled = fire.scheduled
        batch = self._batch
        text_hash, plan = self._spec_of(file_name)
        if plan.errors:
            # The DAG's own spec has no errors, so these are errors of the base configuration.
            return "skipped", "; ".join(plan.errors), None
        dag_name = str(self._dags[file_name]["dag_name"])
        run_id = core.scheduled_run_id(file_name, scheduled.kind, scheduled.at)
        if batch.runs.key_of(dag_name, run_id) is not None:
            return "fired", "the run of this scheduled time already existed", run_id
        queued = fire.verdict == "catchup" or self._queue(file_name) in self._global
        # Beyond the quota of its workspace a run waits in its queue, and so it does for a pool that serves it.
        queued = queued or batch.quotas.room(workspace_of(dag_name)) == 0
        queued = queued or batch.worker_pools.bars(dag_name, plan.dag.worker_selector) is not None
        try:
            run = new_run(
                plan,
                run_key=batch.new_run_key(),
                dag_name=dag_name,
                dag_run_id=run_id,
                given="",
                queue=None,
                queued=queued,
                now=batch.now,
                scheduled_at=scheduled.at,
            )
        except InvalidInput as error:
            return "skipped", str(error), None
        try:
            batch.add(run, spec_hash=text_hash, file_name=file_name, by=_BY)
        except QuotaExceeded as error:
            return "skipped", str(error), None
        if not queued:
            batch.apply(run.run_key, Begin(_BY))
        if not queued or scheduled.kind == core.RESTART:
            # A start that is due in the same minute is not needed.
            self._running.setdefault(dag_name, []).append(run.run_key)
        return "fired", fire.reason, run_id

    def _repeat(self, file_name: str, fire: core.Fire, after: str) -> tuple[str, str, str | None]:
        """Queue a new run that repeats the run ``after``, see ``rerun``, and starts after that has ended."""
        source = self._batch.runs.entry(after).run
        run_id = core.scheduled_run_id(file_name, fire.scheduled.kind, fire.scheduled.at)
        if self._batch.runs.key_of(source.dag_name, run_id) is not None:
            return "fired", "the run of this scheduled time already existed", run_id
        run = rerun(
            source,
            run_key=self._batch.new_run_key(),
            dag_name=source.dag_name,
            dag_run_id=run_id,
            queued=True,
            now=self._batch.now,
            scheduled_at=fire.scheduled.at,
        )
        text_hash, run_file = self._batch.runs.origin(after)
        try:
            self._batch.add(run, spec_hash=text_hash, file_name=run_file, by=_BY)
        except QuotaExceeded as error:
            return "skipped", str(error), None
        wait_s = int(source.plan.dag.restart_wait_sec)
        held = {"run_key": run.run_key, "after_key": after, "wait_s": wait_s, "not_before": None}
        self._batch.pending.holds.append(held)
        return "fired", fire.reason, run_id
