"""Everything that changes a run: start, enqueue, stop, retry, dequeue, a step's status by hand.

The gateway checks the form; whether the state allows it is the scheduler's to say.
"""

import json
from typing import Any, Literal

from pydantic import Field, field_validator

from services.api.command_client import Accepted, Recorded, run_id_for
from services.api.operations import Answer, Body, Call, Operations, Query, accepted, empty, ok
from services.api.problems import Problem, bad_request, not_found
from services.api.representations import json_values
from services.api.routes.runs import run_name
from services.api.run_details.wait_for_end import finished_run
from shared.contracts.commands import Command, DequeueRun, EnqueueRun, PatchStep, RetryRun, StartRun, StopRun

__all__ = [
    "CONTROL",
    "StartBody",
    "StatusBody",
    "empty_answer",
    "node_token",
    "run_answer",
    "set_dag_name",
    "set_run_id",
]

CONTROL = Operations()
_MAX_PARAMS_CHARS = 262_144
_MAX_QUEUE_CHARS = 200
_MAX_WAIT_S = 60.0
_DAGS = "/dags/{fileName}"
_RUN = "/dag-runs/{name}/{dagRunId}"


class StartBody(Body):
    """Also takes ``params`` as the JSON value itself instead of as text."""

    params: str = Field(default="", max_length=_MAX_PARAMS_CHARS)
    dag_run_id: str = Field(default="", alias="dagRunId")
    dag_name: str = Field(default="", alias="dagName")
    singleton: bool = False

    @field_validator("params", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value

    @field_validator("params")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a NUL character cannot be part of it")
        return value


class EnqueueBody(StartBody):
    queue: str = Field(default="", max_length=_MAX_QUEUE_CHARS)
    priority: Literal["low", "high"] = "low"


class StartQuery(Query):
    wait: str = Field(
        default="", max_length=20, description="how long to wait for the run's end: 30s, 1m (at most 60s)"
    )


class RetryBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId")
    step_name: str = Field(default="", alias="stepName")


class StatusBody(Body):
    """A step status by its number."""

    status: int


@CONTROL.post(
    f"{_DAGS}/start",
    id="executeDAG",
    role="operator",
    permission="run_dags",
    body=StartBody,
    body_required=False,
    query=StartQuery,
)
def start(call: Call, body: StartBody, query: StartQuery, file_name: str) -> Answer:
    """Start a stored dag now, whatever its queue holds; ``wait`` asks for the finished run."""
    wait_s = json_values.seconds(query.wait, "wait", most=_MAX_WAIT_S) if query.wait else 0.0
    run_id = set_run_id(call, body.dag_run_id)
    command = StartRun(
        by=call.user,
        file_name=json_values.file_name(file_name),
        dag_run_id=run_id,
        dag_name=set_dag_name(body.dag_name),
        params=body.params,
        own_params=bool(body.params.strip()),
        own_run_id=bool(body.dag_run_id),
        singleton=body.singleton,
    )
    answer = run_answer(call, command, run_id)
    if wait_s and answer.status == 200:
        return finished_run(call, answer, command, wait_s)
    return answer


@CONTROL.post(
    f"{_DAGS}/enqueue",
    id="enqueueDAGDAGRun",
    role="operator",
    permission="run_dags",
    body=EnqueueBody,
    body_required=False,
)
def enqueue(call: Call, body: EnqueueBody, file_name: str) -> Answer:
    """Queue a run of a stored dag."""
    run_id = set_run_id(call, body.dag_run_id)
    command = EnqueueRun(
        by=call.user,
        file_name=json_values.file_name(file_name),
        dag_run_id=run_id,
        dag_name=set_dag_name(body.dag_name),
        params=body.params,
        own_params=bool(body.params.strip()),
        own_run_id=bool(body.dag_run_id),
        singleton=body.singleton,
        queue=json_values.queue_name(body.queue) if body.queue else None,
        priority=body.priority,
    )
    return run_answer(call, command, run_id)


@CONTROL.post(f"{_DAGS}/stop-all", id="stopAllDAGRuns", role="operator", permission="run_dags")
def stop_all(call: Call, file_name: str) -> Answer:
    """Stop every running run of a dag; one that ended meanwhile is no error."""
    stem = json_values.file_name(file_name)
    found = call.deps.reads.dag(stem)
    if found is None:
        raise not_found(f"There is no DAG {stem!r}")
    running = call.deps.reads.running_run_ids(found.dag_name)
    commands = call.deps.commands
    sent = [
        commands.send(
            StopRun(by=call.user, dag_name=found.dag_name, dag_run_id=each),
            key=f"{call.key[:130]}:{each}" if call.key else None,
        )
        for each in running
    ]
    errors = []
    for run_id, each in zip(running, sent, strict=True):
        try:
            commands.wait(each)
        except Problem as problem:
            if problem.code not in {"not_running", "not_found"}:
                errors.append(f"{run_id}: {problem.message}")
    return ok({"errors": errors})


@CONTROL.post(f"{_RUN}/stop", id="terminateDAGRun", role="operator", permission="run_dags")
def stop(call: Call, name: str, dag_run_id: str) -> Answer:
    """Ask a running run to abort; it does so later."""
    return empty_answer(
        call, StopRun(by=call.user, dag_name=run_name(call, name), dag_run_id=json_values.known_run_id(dag_run_id))
    )


@CONTROL.post(
    f"{_RUN}/retry",
    id="retryDAGRun",
    role="operator",
    permission="run_dags",
    body=RetryBody,
    body_required=False,
)
def retry(call: Call, body: RetryBody, name: str, dag_run_id: str) -> Answer:
    """Run again what did not succeed, in place or as a new run (REST contract section 5.8)."""
    command = RetryRun(
        by=call.user,
        dag_name=run_name(call, name),
        dag_run_id=json_values.known_run_id(dag_run_id),
        new_run_id=json_values.run_id(body.dag_run_id) if body.dag_run_id else "",
        step_name=body.step_name or None,
    )
    return empty_answer(call, command)


@CONTROL.get(f"{_RUN}/dequeue", id="dequeueDAGRun", role="operator", permission="run_dags")
@CONTROL.post(f"{_RUN}/dequeue", id="dequeueDAGRunByPost", role="operator", permission="run_dags")
def dequeue(call: Call, name: str, dag_run_id: str) -> Answer:
    """Withdraw a queued run. The contract makes this a GET; a POST does the same."""
    return empty_answer(
        call, DequeueRun(by=call.user, dag_name=run_name(call, name), dag_run_id=json_values.known_run_id(dag_run_id))
    )


@CONTROL.patch(
    f"{_RUN}/steps/{{stepName}}/status",
    id="updateDAGRunStepStatus",
    role="operator",
    permission="run_dags",
    body=StatusBody,
)
def patch_step(call: Call, body: StatusBody, name: str, dag_run_id: str, step_name: str) -> Answer:
    """Set one step's status by hand; nothing else changes."""
    command = PatchStep(
        by=call.user,
        dag_name=run_name(call, name),
        dag_run_id=json_values.known_run_id(dag_run_id),
        step_name=step_name,
        status=node_token(body.status),
    )
    return empty_answer(call, command)


def run_answer(call: Call, command: Command, run_id: str) -> Answer:
    """Carry out a command that makes a run; the answer names the run."""
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, "dagRunId": run_id})
    return ok({"dagRunId": outcome.result.get("dagRunId", run_id)})


def empty_answer(call: Call, command: Command) -> Answer:
    """Carry out a command whose success says nothing more."""
    outcome = call.deps.commands.ask(command, key=call.key)
    return empty() if isinstance(outcome, Recorded) else accepted({"commandId": outcome.command_id})


def set_run_id(call: Call, given: str) -> str:
    """Return the id a new run shall have: the caller's, or a new one."""
    return json_values.run_id(given) if given else run_id_for(call.key)


def set_dag_name(given: str, field: str = "dagName") -> str | None:
    """Return the dag name a caller chose, if they did."""
    trimmed = given.strip()
    return json_values.dag_name(trimmed, field) if trimmed else None


def node_token(number: int) -> str:
    """Return the token of a node status; raises a 400 for a number that is none."""
    status = json_values.node_token(number)
    if status is None:
        raise bad_request(f"status: {number} is not a step status (0 to 8)", field="status")
    return status.value
