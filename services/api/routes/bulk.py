"""One action on many runs: stop, retry, dequeue, remove, and stopping all of a queue. Additions to Dagu's API.

Each run gets a command of its own, so that each has its own check of role and state, outcome and entry in the audit
log, and an ``Idempotency-Key`` holds for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field

from services.api.bulk_outcomes import BulkOutcome, bulk_outcomes, outcome_json
from services.api.operations import ApiResponse, Body, Call, Operations, Query, ok
from services.api.problems import Problem
from services.api.requests import checked_values
from services.api.requests.cursors import read_cursor, write_cursor
from services.api.response_schemas.bulk import BulkResponseSchema, StopQueueResponseSchema
from shared.contracts.commands import Command, DequeueRun, RemoveRun, RetryRun, StopRun
from shared.store.reads.reader import RunName

__all__ = ["BULK"]

BULK = Operations()
_on_runs = partial(BULK.post, response=BulkResponseSchema, pending=False)
_MOST = 500
_GONE = frozenset({"not_running", "not_found", "bad_request"})
"""Refusals of a run that has ended or left the queue since it was read: what was asked for holds already."""


class NamedRun(Body):
    name: str
    dag_run_id: str = Field(alias="dagRunId")


class BulkBody(Body):
    """``runs``: root runs, each named once."""

    runs: list[NamedRun] = Field(min_length=1, max_length=_MOST)


class StopQueueQuery(Query):
    cursor: str = Field(default="", max_length=500, description="nextCursor of a response: go on after its runs")


@dataclass(frozen=True)
class _QueuePlace:
    """Where stopping a queue goes on: among its queued or its running runs, after the run ``behind``."""

    queued: bool
    behind: RunName | None = None


@_on_runs("/dag-runs/bulk/stop", id="stopDAGRuns", role="operator", permission="run_dags")
def stop(call: Call, body: BulkBody) -> ApiResponse:
    """Stop up to 500 running runs. The response says of each whether it is being stopped, or why not."""
    return _each(call, body, lambda run: StopRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id))


@_on_runs("/dag-runs/bulk/retry", id="retryDAGRuns", role="operator", permission="run_dags")
def retry(call: Call, body: BulkBody) -> ApiResponse:
    """Retry up to 500 runs, each under its own id. The response says of each whether it runs again, or why not."""
    return _each(
        call,
        body,
        lambda run: RetryRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id, new_run_id=run.dag_run_id),
    )


@_on_runs("/dag-runs/bulk/dequeue", id="dequeueDAGRuns", role="operator", permission="run_dags")
def dequeue(call: Call, body: BulkBody) -> ApiResponse:
    """Remove up to 500 queued runs from their queues. The response says of each whether it was removed, or why not."""
    return _each(call, body, lambda run: DequeueRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id))


@_on_runs("/dag-runs/bulk/remove", id="removeDAGRuns", role="manager", permission="write_dags")
def remove(call: Call, body: BulkBody) -> ApiResponse:
    """Delete up to 500 runs that have ended, with their logs.

    The response says of each whether it was deleted, or why not.
    """
    return _each(call, body, lambda run: RemoveRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id))


@BULK.post(
    "/queues/{name}/stop-all",
    id="stopQueue",
    role="operator",
    permission="run_dags",
    response=StopQueueResponseSchema,
    pending=False,
)
def stop_queue(call: Call, query: StopQueueQuery, name: str) -> ApiResponse:
    """Remove the queued runs from a queue, then stop its running ones: up to 500 runs in one request.

    ``nextCursor`` is set if there are more: send the same request with it. A run that ends meanwhile is not an error.
    """
    queue = checked_values.queue_name(name, "name")
    # Queued runs first: a run that is stopped makes room for the next one.
    place = read_cursor(query.cursor, _place) if query.cursor else _QueuePlace(queued=True)
    errors: list[str] = []
    room = _MOST
    while True:
        found = call.deps.reads.runs_of_queue(queue, queued=place.queued, behind=place.behind, limit=room + 1)
        runs = found[:room]
        errors += _refusals(call, runs, DequeueRun if place.queued else StopRun)
        room -= len(runs)
        if len(found) > len(runs):
            rest = _QueuePlace(queued=place.queued, behind=runs[-1] if runs else place.behind)
            return ok({"errors": errors, "nextCursor": _cursor(rest)})
        if not place.queued:
            return ok({"errors": errors, "nextCursor": None})
        place = _QueuePlace(queued=False)


def _refusals(call: Call, runs: Sequence[RunName], make: type[DequeueRun | StopRun]) -> list[str]:
    commands = [make(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id) for run in runs]
    return [
        f"{run.dag_name}/{run.dag_run_id}: {outcome.message}"
        for run, outcome in zip(runs, _outcomes(call, runs, commands), strict=True)
        if isinstance(outcome, Problem) and outcome.code not in _GONE
    ]


def _cursor(place: _QueuePlace) -> str:
    run = place.behind
    return write_cursor(place.queued, *((run.dag_name, run.dag_run_id) if run else ()))


def _place(values: list[Any]) -> _QueuePlace | None:
    match values:
        case [bool(queued)]:
            return _QueuePlace(queued)
        case [bool(queued), str(dag_name), str(run_id)]:
            return _QueuePlace(queued, RunName(dag_name, run_id))
    return None


def _each(call: Call, body: BulkBody, make: Callable[[RunName], Command]) -> ApiResponse:
    runs = list(
        dict.fromkeys(
            RunName(checked_values.any_name(each.name, "runs.name"), checked_values.run_id(each.dag_run_id))
            for each in body.runs
        )
    )
    outcomes = _outcomes(call, runs, [make(run) for run in runs])
    return ok({"results": [_result(run, outcome) for run, outcome in zip(runs, outcomes, strict=True)]})


def _outcomes(call: Call, runs: Sequence[RunName], commands: Sequence[Command]) -> list[BulkOutcome]:
    return bulk_outcomes(call, [f"{run.dag_name}/{run.dag_run_id}" for run in runs], commands)


def _result(run: RunName, outcome: BulkOutcome) -> dict[str, Any]:
    return {"name": run.dag_name, "dagRunId": run.dag_run_id, **outcome_json(outcome)}
