"""Runs without a stored dag, runs made anew from a snapshot, and what became of any command."""

from typing import Any, Literal

from pydantic import Field

from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from services.api.routes.control import StartBody, run_answer, set_dag_name, set_run_id
from shared.contracts.commands.runs import RescheduleRun, StartInline

__all__ = ["INLINE"]

INLINE = Operations()
_MAX_QUEUE_CHARS = 200
_MAX_KEY_CHARS = 200


class InlineBody(StartBody):
    spec: str
    name: str = ""


class InlineEnqueueBody(InlineBody):
    queue: str = Field(default="", max_length=_MAX_QUEUE_CHARS)
    priority: Literal["low", "high"] = "low"


class RescheduleBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId")
    dag_name: str = Field(default="", alias="dagName")
    singleton: bool = False
    definition_strategy: str = Field(default="", alias="definitionStrategy")


@INLINE.post("/dag-runs", id="executeDAGRunFromSpec", role="operator", permission="run_dags", body=InlineBody)
def start_inline(call: Call, body: InlineBody) -> Answer:
    """Start a run of the spec in the request; no DAG is stored."""
    return _inline(call, body)


@INLINE.post(
    "/dag-runs/enqueue",
    id="enqueueDAGRunFromSpec",
    role="operator",
    permission="run_dags",
    body=InlineEnqueueBody,
)
def enqueue_inline(call: Call, body: InlineEnqueueBody) -> Answer:
    """Queue a run of the spec in the request; no DAG is stored."""
    queue = json_values.queue_name(body.queue) if body.queue else None
    return _inline(call, body, queued=True, queue=queue, priority=body.priority)


def _inline(call: Call, body: InlineBody, **queueing: Any) -> Answer:
    if not body.spec.strip():
        raise bad_request("spec: must not be empty", field="spec")
    run_id = set_run_id(call, body.dag_run_id)
    command = StartInline(
        by=call.user,
        spec=body.spec,
        dag_run_id=run_id,
        dag_name=set_dag_name(body.name, "name"),
        params=body.params,
        singleton=body.singleton,
        **queueing,
    )
    return run_answer(call, command, run_id)


@INLINE.post(
    "/dag-runs/{name}/{dagRunId}/reschedule",
    id="rescheduleDAGRun",
    role="operator",
    permission="run_dags",
    body=RescheduleBody,
    body_required=False,
)
def reschedule(call: Call, body: RescheduleBody, name: str, dag_run_id: str) -> Answer:
    """Start a new run from another one's stored spec and params."""
    if body.definition_strategy:
        raise bad_request("definitionStrategy: a run is made anew from its own spec only", field="definitionStrategy")
    run_id = set_run_id(call, body.dag_run_id)
    command = RescheduleRun(
        by=call.user,
        dag_name=json_values.plain_name(name, "name"),
        dag_run_id=json_values.known_run_id(dag_run_id),
        new_run_id=run_id,
        new_dag_name=set_dag_name(body.dag_name),
        singleton=body.singleton,
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, "dagRunId": run_id, "queued": False})
    return ok({"dagRunId": outcome.result.get("dagRunId", run_id), "queued": outcome.result.get("queued", False)})


@INLINE.get("/commands/{commandId}", id="getCommand", role="operator")
def command_outcome(call: Call, command_id: str) -> Answer:
    """Return what became of a command: its id is the Idempotency-Key, or was in a 202."""
    found = call.deps.reads.command(command_id) if len(command_id) <= _MAX_KEY_CHARS else None
    if found is None:
        raise not_found(f"Nothing is recorded about command {command_id[:200]!r}, yet or any more")
    error = (found.reply or {}).get("error") or {}
    return ok(
        {
            "commandId": found.command_id,
            "type": found.type,
            "outcome": found.outcome,
            "recordedAt": json_values.precise(found.at),
            "result": (found.reply or {}).get("result") or {},
            **({"error": {"code": error.get("code", ""), "message": error.get("message", "")}} if error else {}),
        }
    )
