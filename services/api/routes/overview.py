"""What an operator asks first: what runs, what waits and why, what failed, what fires next.

All are additions to Dagu's API.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, json_bytes, ok
from services.api.representations import json_values
from services.api.representations.json_values import sparse
from services.api.response_schemas.overview import ApprovalsSchema, OverviewSchema, TimelineSchema
from services.api.run_details.builder import run_summaries
from services.api.run_details.specs import dags_of_runs
from shared.language.model import ContinueOn
from shared.status import RunStatus
from shared.store.reads.reader import ApprovalRow, FailedStepRow, PastRunRow, RunRow

__all__ = ["OVERVIEW"]

OVERVIEW = Operations()
_SHOWN = 50
_NEXT = 10
_APPROVALS = 200
_WITH_STEP = 10
"""Of how many failed runs the step is named."""
_BARS = 2000
_DAY = timedelta(days=1)


class TimelineQuery(Query):
    hours: int = Field(default=24, ge=1, le=24, description="how far back the timeline goes")
    limit: int = Field(default=_BARS, ge=1, le=_BARS, description="how many runs at most")


@OVERVIEW.get("/overview", id="getOverview", response=OverviewSchema)
def overview(call: Call) -> ApiResponse:
    """Return the state of everything at a glance, and what failed in the last 24 hours.

    Of the queued runs the oldest 50 are listed, the one that has waited longest first; of the running and of the failed
    ones the newest 50 of each status. ``counts`` has all. The newest 10 failed runs have ``failedStep``, the step
    that made the run fail, if it is among the first 500 steps.
    """
    return ApiResponse(200, call.deps.single_flight.get("overview", lambda: json_bytes(_overview(call))))


@OVERVIEW.get("/overview/timeline", id="getTimeline", response=TimelineSchema)
def timeline(call: Call, query: TimelineQuery) -> ApiResponse:
    """Return the newest runs that were active in the last hours, each with its first start and its end."""
    since = call.now - timedelta(hours=query.hours)
    runs = call.deps.reads.past_runs(since, limit=query.limit + 1)
    moment = json_values.milliseconds
    return ok(
        {
            "since": moment(since, call.deps.zone),
            "until": moment(call.now, call.deps.zone),
            "runs": [_bar(call, run) for run in runs[: query.limit]],
            "more": len(runs) > query.limit,
        }
    )


@OVERVIEW.get("/approvals", id="listApprovals", response=ApprovalsSchema)
def approvals(call: Call) -> ApiResponse:
    """List the steps that wait for approval, at most 200, including those of sub-runs.

    ``params`` are those of the step's own run: what the calling step gave to a sub-run, which tells the items of a
    fan-out apart.
    """
    return ok({"approvals": _approvals(call, call.deps.reads.waiting_steps(limit=_APPROVALS))})


def _overview(call: Call) -> dict[str, Any]:
    reads = call.deps.reads
    listed = {
        RunStatus.RUNNING: reads.runs(status=RunStatus.RUNNING, limit=_SHOWN),
        RunStatus.QUEUED: reads.runs(status=RunStatus.QUEUED, oldest_first=True, limit=_SHOWN),
    }
    since = call.now - _DAY
    failed = [
        run
        for status in (RunStatus.FAILED, RunStatus.REJECTED)
        for run in reads.runs(status=status, created_from=since - _DAY, limit=_SHOWN)
    ]
    found = reads.runs_by_key(each.run_key for each in (*listed[RunStatus.RUNNING], *listed[RunStatus.QUEUED], *failed))
    runs = {status: [found[each.run_key] for each in rows if each.run_key in found] for status, rows in listed.items()}
    waiting = reads.waiting_steps(limit=_APPROVALS)
    pauses = reads.open_pauses()
    recent = sorted(
        (run for each in failed if (run := found.get(each.run_key)) and run.finished_at and run.finished_at >= since),
        key=lambda run: run.finished_at or run.created_at,
        reverse=True,
    )[:_SHOWN]
    steps = _failed_steps(call, recent[:_WITH_STEP])

    def shown(rows: Sequence[RunRow]) -> list[dict[str, Any]]:
        return run_summaries(call.deps, rows, call.now)

    return {
        "counts": {**_counts(call, since), "approvals": len(waiting)},
        "running": shown(runs[RunStatus.RUNNING]),
        # A retry queues an old run anew.
        "queued": shown(sorted(runs[RunStatus.QUEUED], key=lambda run: run.queued_at or run.created_at)),
        "failed": [
            {**one, **sparse(failedStep=steps.get(run.run_key, ""))}
            for run, one in zip(recent, shown(recent), strict=True)
        ],
        "approvals": _approvals(call, waiting),
        "nextFires": [] if any(each.scope == "global" for each in pauses) else _next_fires(call),
        "workers": _workers(call),
        "queues": _queues(call),
        "pauses": [sparse(scope=each.scope, name=each.name, reason=each.reason) for each in pauses],
    }


def _counts(call: Call, since: datetime) -> dict[str, int]:
    reads = call.deps.reads
    ended, active = reads.ended_counts(since), reads.active_counts()
    return {
        "running": sum(active.running.values()),
        "queued": sum(active.queued.values()),
        "failed": ended.get(RunStatus.FAILED, 0) + ended.get(RunStatus.REJECTED, 0),
        "succeeded": ended.get(RunStatus.SUCCEEDED, 0) + ended.get(RunStatus.PARTIALLY_SUCCEEDED, 0),
        "aborted": ended.get(RunStatus.ABORTED, 0),
        "dags": active.dags,
        "faultyDags": active.faulty_dags,
        "schedulers": len(reads.schedulers(since=call.now - call.deps.service_alive)),
    }


def _failed_steps(call: Call, runs: Sequence[RunRow]) -> dict[str, str]:
    """Return, by key of the run, the step that made it fail: a tolerated failure only if there is no other."""
    failed = call.deps.reads.failed_steps([run.run_key for run in runs])
    dags = dags_of_runs(call.deps, [run for run in runs if run.run_key in failed])
    found = {}
    for run_key, rows in failed.items():
        dag = dags[run_key]
        rules = {step.name: step.continue_on for step in dag.steps} if dag else {}
        found[run_key] = min(rows, key=partial(_tolerated, rules)).name
    return found


def _tolerated(rules: Mapping[str, ContinueOn], row: FailedStepRow) -> bool:
    rule = rules.get(row.name) if row.kind == "step" else None
    return rule is not None and rule.tolerates(row.exit_code, output_matched=row.output_matched)


def _next_fires(call: Call) -> list[dict[str, Any]]:
    page = call.deps.reads.dag_page(sort="next_start", per_page=2 * _NEXT)
    due = [dag for dag in page.dags if dag.next_start_at is not None and not dag.suspended]
    return [
        {"fileName": dag.file_name, "at": json_values.timestamp(dag.next_start_at, call.deps.zone)}
        for dag in due[:_NEXT]
    ]


def _workers(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": each.worker_id,
            "live": each.takes_work(call.now),
            "state": each.believed_state(call.now),
            "slots": each.slots,
            "busy": each.busy_slots,
        }
        for each in call.deps.reads.workers()
        if each.is_recent(call.now)
    ]


def _queues(call: Call) -> list[dict[str, Any]]:
    """Return the queues that have a limit of their own or runs."""
    return [
        {
            "name": each.name,
            "running": each.running_count,
            "queued": each.queued_count,
            **sparse(maxConcurrency=each.max_concurrency),
        }
        for each in call.deps.reads.queues(limit=0)
        if each.max_concurrency or each.running_count or each.queued_count
    ]


def _approvals(call: Call, waiting: Sequence[ApprovalRow]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.root.dag_name,
            "dagRunId": each.root.dag_run_id,
            **sparse(subDAGRunId=each.run.dag_run_id if each.run != each.root else ""),
            "dagName": each.run.dag_name,
            "stepName": each.step,
            **sparse(since=json_values.timestamp(each.since, call.deps.zone), params=each.params),
        }
        for each in waiting
    ]


def _bar(call: Call, run: PastRunRow) -> dict[str, Any]:
    return {
        "name": run.dag_name,
        "dagRunId": run.dag_run_id,
        "statusLabel": run.status.value,
        "startedAt": json_values.milliseconds(run.started_at, call.deps.zone),
        **sparse(finishedAt=json_values.milliseconds(run.finished_at, call.deps.zone)),
    }
