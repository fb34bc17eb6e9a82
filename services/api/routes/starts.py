"""Start or queue runs: of a stored DAG, of a spec in the request, or of the spec of another run."""

import json
from functools import partial
from typing import Any, TypeVar

from pydantic import Field, field_validator

from services.api.caches.specs import parse_spec
from services.api.command_client import chosen_run_id
from services.api.operations import ApiResponse, Body, Call, Operations, Query, Storable, ok
from services.api.problems import bad_request, not_found, unavailable
from services.api.requests import checked_values
from services.api.response_schemas.runs import (
    RescheduleResponseSchema,
    StartedResponseSchema,
    StartResponseSchema,
    StartSyncResponseSchema,
    StartSyncTimeoutSchema,
)
from services.api.run_details.builder import run_details
from services.api.run_details.lookup import RUN
from services.api.run_details.wait_for_end import finished_run, place_to_wait, settled_run
from shared.contracts.commands import BEGUN, EnqueueRun, StartRun
from shared.contracts.commands.runs import Priority, RescheduleRun, StartInline
from shared.ids import MOST_QUEUE_CHARS
from shared.status import RunStatus

__all__ = ["STARTS"]

STARTS = Operations()
_starting = partial(STARTS.post, role="operator", permission="run_dags")
Start = TypeVar("Start", bound=StartRun)
_MAX_PARAMS_CHARS = 262_144
_MAX_WAIT_S = 60.0
_MAX_SYNC_S = 86_400


def _three_forms(schema: dict[str, Any]) -> None:
    text = {"type": schema.pop("type"), "maxLength": schema.pop("maxLength")}
    schema["anyOf"] = [text, {"type": "object"}, {"type": "array", "items": {}}]


class StartBody(Body):
    """What to start. ``params`` is stored as text."""

    params: Storable = Field(
        default="",
        max_length=_MAX_PARAMS_CHARS,
        description='the params: text such as KEY=value K2="two words", an object of them, or a list of values',
        json_schema_extra=_three_forms,
    )
    dag_run_id: str = Field(default="", alias="dagRunId")
    dag_name: str = Field(default="", alias="dagName")
    singleton: bool = False

    @field_validator("params", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


class StartSyncBody(StartBody):
    timeout: int = Field(ge=1, le=_MAX_SYNC_S, description="how many seconds to wait for the end of the run")


class EnqueueBody(StartBody):
    queue: str = Field(default="", max_length=MOST_QUEUE_CHARS)
    priority: Priority = "low"


class InlineBody(StartBody):
    spec: str
    name: str = ""


class InlineEnqueueBody(InlineBody):
    queue: str = Field(default="", max_length=MOST_QUEUE_CHARS)
    priority: Priority = "low"


class RescheduleBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId")
    dag_name: str = Field(default="", alias="dagName")
    singleton: bool = False
    definition_strategy: str = Field(default="", alias="definitionStrategy")
    use_current_dag_file: bool = Field(default=False, alias="useCurrentDagFile")


class StartQuery(Query):
    wait: str = Field(
        default="", max_length=20, description="how long to wait for the end of the run, for example 30s; at most 60s"
    )


@_starting("/dags/{fileName}/start", id="executeDAG", body_required=False, response=StartedResponseSchema)
def start(call: Call, body: StartBody, query: StartQuery, file_name: str) -> ApiResponse:
    """Start a run of a stored DAG immediately, without queueing, even if the DAG or its queue is paused.

    With ``wait``, the response comes when the run has ended, after that time, or when the gateway stops: ``finished``
    says which. If too many requests wait already, the run is started all the same, and the response comes at once, with
    ``finished`` false and without ``dagRunDetails``: read the run later.
    """
    wait_s = checked_values.seconds(query.wait, "wait", most=_MAX_WAIT_S) if query.wait else 0.0
    command = _start_command(StartRun, call, body, file_name)
    known = {"dagRunId": command.dag_run_id}
    if not wait_s:
        return call.carry_out(command, known=known)
    # Before the command is sent, so that no notification of the end is missed.
    with place_to_wait(call, command) as follower:
        result: dict[str, Any] = {}
        started = call.carry_out(command, then=result.update, known=known)
        if started.status != 200:
            return started
        if follower is None:
            return ok({**started.content, "finished": False})
        # With a key, an earlier request may have started the run, which may have ended then.
        begun = result.get(BEGUN) if call.key is None else None
        found = finished_run(call.deps, follower, command, started.content["dagRunId"], wait_s, begun=begun)
        return ok({**started.content, **found})


@_starting(
    "/dags/{fileName}/start-sync",
    id="executeDAGSync",
    response=StartSyncResponseSchema,
    failure_texts={
        408: "the run has not ended after the timeout, or the gateway stops, and the run continues (code timeout); or "
        "the request body did not arrive in time, and no run was started (code bad_request)",
        503: "too many requests wait for the end of a run already, and no run was started; or the database or the "
        "broker is unavailable, and then a run may have been started",
    },
    failure_schemas={408: StartSyncTimeoutSchema},
)
def start_sync(call: Call, body: StartSyncBody, file_name: str) -> ApiResponse:
    """Start a run of a stored DAG immediately, and wait until it has ended or waits for approval.

    After ``timeout`` seconds, and when the gateway stops, the response is a 408 with the run's id; the run continues.
    If too many requests wait already, the response is a 503, and no run was started.
    """
    command = _start_command(StartRun, call, body, file_name)
    with place_to_wait(call, command) as follower:
        if follower is None:
            raise unavailable(
                "Too many requests wait for the end of a run at this gateway; nothing was started. Try again soon, or "
                "use POST /dags/{fileName}/start."
            )
        started = call.carry_out(command, known={"dagRunId": command.dag_run_id})
        if started.status != 200:
            return started
        run_id = started.content["dagRunId"]
        run = settled_run(call.deps, follower, command, run_id, body.timeout)
    if run is None:
        raise not_found(f"The run {run_id} was removed")
    if run.status.active and run.status is not RunStatus.WAITING:
        message = f"The run {run_id} has not ended yet; it continues"
        return ApiResponse(408, {"code": "timeout", "message": message, "dagRunId": run_id})
    return ok({"dagRun": run_details(call.deps, run, call.deps.clock())})


def _start_command(kind: type[Start], call: Call, body: StartBody, file_name: str, **queueing: Any) -> Start:
    return kind(
        by=call.user,
        file_name=checked_values.file_name(file_name),
        dag_run_id=chosen_run_id(body.dag_run_id, call.key),
        dag_name=checked_values.chosen_dag_name(body.dag_name),
        params=body.params,
        own_params=bool(body.params.strip()),
        own_run_id=bool(body.dag_run_id),
        singleton=body.singleton,
        **queueing,
    )


def _queue(name: str) -> str | None:
    return checked_values.queue_name(name) if name else None


@_starting("/dags/{fileName}/enqueue", id="enqueueDAGDAGRun", body_required=False, response=StartResponseSchema)
def enqueue(call: Call, body: EnqueueBody, file_name: str) -> ApiResponse:
    """Queue a run of a stored DAG. It starts when the limit of its queue allows."""
    queueing = {"queue": _queue(body.queue), "priority": body.priority}
    command = _start_command(EnqueueRun, call, body, file_name, **queueing)
    return call.carry_out(command, known={"dagRunId": command.dag_run_id})


@_starting("/dag-runs", id="executeDAGRunFromSpec", response=StartResponseSchema)
def start_inline(call: Call, body: InlineBody) -> ApiResponse:
    """Start a run immediately, without queueing, from the spec in the request. No DAG is stored."""
    return _inline(call, body)


@_starting("/dag-runs/enqueue", id="enqueueDAGRunFromSpec", response=StartResponseSchema)
def enqueue_inline(call: Call, body: InlineEnqueueBody) -> ApiResponse:
    """Queue a run from the spec in the request. No DAG is stored."""
    return _inline(call, body, queued=True, queue=_queue(body.queue), priority=body.priority)


def _inline(call: Call, body: InlineBody, **queueing: Any) -> ApiResponse:
    if not body.spec.strip():
        raise bad_request("spec: must not be empty", field="spec")
    run_id = chosen_run_id(body.dag_run_id, call.key)
    command = StartInline(
        by=call.user,
        spec=body.spec,
        dag_run_id=run_id,
        dag_name=checked_values.chosen_dag_name(body.name, "name"),
        params=body.params,
        own_params=bool(body.params.strip()),
        own_run_id=bool(body.dag_run_id),
        singleton=body.singleton,
        **queueing,
    )

    def refuse_faulty() -> None:
        loaded = parse_spec(body.spec, file_name="", dag_name=command.dag_name)
        if loaded.errors:
            raise bad_request("; ".join(str(issue) for issue in loaded.errors))

    return call.carry_out(command, known={"dagRunId": run_id}, certain=refuse_faulty)


@_starting(f"{RUN}/reschedule", id="rescheduleDAGRun", body_required=False, response=RescheduleResponseSchema)
def reschedule(call: Call, body: RescheduleBody, name: str, dag_run_id: str) -> ApiResponse:
    """Start a new run with the spec and parameters of an earlier run."""
    if body.definition_strategy:
        raise bad_request(
            "definitionStrategy: not supported, omit it; a run is rescheduled from its own spec",
            field="definitionStrategy",
        )
    if body.use_current_dag_file:
        raise bad_request(
            "useCurrentDagFile: not supported, start the DAG with the run's parameters instead; a run is rescheduled "
            "from its own spec",
            field="useCurrentDagFile",
        )
    run_id = chosen_run_id(body.dag_run_id, call.key)
    command = RescheduleRun(
        by=call.user,
        dag_name=checked_values.any_name(name, "name"),
        dag_run_id=checked_values.known_run_id(dag_run_id),
        new_run_id=run_id,
        new_dag_name=checked_values.chosen_dag_name(body.dag_name),
        singleton=body.singleton,
        own_run_id=bool(body.dag_run_id),
    )
    return call.carry_out(command, known={"dagRunId": run_id, "queued": False})
