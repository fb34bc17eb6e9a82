"""One action on many runs: stop, retry, dequeue, and stopping all of a queue. Additions to the contract.

Each run gets a command of its own, so that each has its own check of role and state, outcome and entry in the audit
log, and an ``Idempotency-Key`` holds for each.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from services.api.command_client import Accepted
from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import Problem
from services.api.representations import json_values
from services.api.response_schemas.bulk import BulkResponseSchema
from services.api.response_schemas.dags import ErrorsResponseSchema
from shared.contracts.commands import Command, DequeueRun, RetryRun, StopRun
from shared.store.reads.reader import RunName

__all__ = ["BULK"]

BULK = Operations()
_MOST = 500
_GONE = frozenset({"not_running", "not_found", "bad_request"})
"""Refusals of a run that has ended or left the queue since it was read: what was asked for holds already."""


class NamedRun(Body):
    name: str
    dag_run_id: str = Field(alias="dagRunId")


class BulkBody(Body):
    """``runs``: root runs, each named once."""

    runs: list[NamedRun] = Field(min_length=1, max_length=_MOST)


@BULK.post(
    "/dag-runs/bulk/stop",
    id="stopDAGRuns",
    role="operator",
    permission="run_dags",
    body=BulkBody,
    response=BulkResponseSchema,
    pending=False,
)
def stop(call: Call, body: BulkBody) -> ApiResponse:
    """Stop up to 500 running runs. The response says of each whether it is being stopped, or why not."""
    return _each(call, body, lambda run: StopRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id))


@BULK.post(
    "/dag-runs/bulk/retry",
    id="retryDAGRuns",
    role="operator",
    permission="run_dags",
    body=BulkBody,
    response=BulkResponseSchema,
    pending=False,
)
def retry(call: Call, body: BulkBody) -> ApiResponse:
    """Retry up to 500 runs, each under its own id. The response says of each whether it runs again, or why not."""
    return _each(
        call,
        body,
        lambda run: RetryRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id, new_run_id=run.dag_run_id),
    )


@BULK.post(
    "/dag-runs/bulk/dequeue",
    id="dequeueDAGRuns",
    role="operator",
    permission="run_dags",
    body=BulkBody,
    response=BulkResponseSchema,
    pending=False,
)
def dequeue(call: Call, body: BulkBody) -> ApiResponse:
    """Remove up to 500 queued runs from their queues. The response says of each whether it was removed, or why not."""
    return _each(call, body, lambda run: DequeueRun(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id))


@BULK.post(
    "/queues/{name}/stop-all",
    id="stopQueue",
    role="operator",
    permission="run_dags",
    response=ErrorsResponseSchema,
    pending=False,
)
def stop_queue(call: Call, name: str) -> ApiResponse:
    """Dequeue all queued runs of a queue, then stop all its running runs. A run that ends meanwhile is not an error."""
    queue = json_values.queue_name(name, "name")
    errors = []
    # Queued runs first: a run that is stopped makes room for the next one.
    for queued, make in ((True, DequeueRun), (False, StopRun)):
        runs = call.deps.reads.runs_of_queue(queue, queued=queued)
        commands = [make(by=call.user, dag_name=run.dag_name, dag_run_id=run.dag_run_id) for run in runs]
        errors += [
            f"{run.dag_name}/{run.dag_run_id}: {outcome.message}"
            for run, outcome in zip(runs, _outcomes(call, runs, commands), strict=True)
            if isinstance(outcome, Problem) and outcome.code not in _GONE
        ]
    return ok({"errors": errors})


def _each(call: Call, body: BulkBody, make: Callable[[RunName], Command]) -> ApiResponse:
    runs = list(
        dict.fromkeys(
            RunName(json_values.plain_name(each.name, "runs.name"), json_values.run_id(each.dag_run_id))
            for each in body.runs
        )
    )
    outcomes = _outcomes(call, runs, [make(run) for run in runs])
    return ok({"results": [_result(run, outcome) for run, outcome in zip(runs, outcomes, strict=True)]})


def _outcomes(call: Call, runs: Sequence[RunName], commands: Sequence[Command]) -> list[Problem | str]:
    """Send one command for each run and return its refusal, or ``done``, or ``accepted`` if its outcome is unknown."""
    sent = [call.send(command, key=_key(call.key, run)) for run, command in zip(runs, commands, strict=True)]
    found = call.deps.commands.wait_for_all(sent)
    return [
        each if isinstance(each, Problem) else "accepted" if isinstance(each, Accepted) else "done" for each in found
    ]


def _key(key: str | None, run: RunName) -> str | None:
    """Return the Idempotency-Key of one run's command, made of the request's."""
    if key is None:
        return None
    return f"{key[:130]}:{hashlib.sha256(f'{run.dag_name}/{run.dag_run_id}'.encode()).hexdigest()[:32]}"


def _result(run: RunName, outcome: Problem | str) -> dict[str, Any]:
    named = {"name": run.dag_name, "dagRunId": run.dag_run_id}
    if isinstance(outcome, Problem):
        return {**named, "outcome": "refused", "code": outcome.code, "message": outcome.message}
    return {**named, "outcome": outcome}
