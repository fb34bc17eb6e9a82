"""Pauses of everything, of queues and of DAGs: additions to Dagu's API."""

from functools import partial

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import bad_request
from services.api.representations import json_values
from services.api.requests import checked_values
from services.api.response_schemas.pauses import PausedSchema, PausesSchema
from shared.contracts.commands import EndPause, SetPause
from shared.language.model import CatchupPolicy

__all__ = ["PAUSES"]

PAUSES = Operations()
_pausing = partial(PAUSES.post, role="manager", permission="run_dags", body_required=False, response=PausedSchema)
_MAX_REASON = 500


class PauseBody(Body):
    reason: str = Field(default="", max_length=_MAX_REASON)


class ResumeBody(Body):
    """``catchup``: which scheduled times that passed during the pause to fire (default: as each DAG's spec says)."""

    catchup: CatchupPolicy | None = None


@PAUSES.get("/pauses", id="listPauses", response=PausesSchema)
def pauses(call: Call) -> ApiResponse:
    """List the pauses. ``inFlight`` is the number of runs that a pause covers and that are still running.

    ``state`` is ``pausing`` as long as there are any, then ``paused``.

    ``estimateSec`` estimates in how many seconds all these runs will have ended. It is missing if that is unknown.
    """
    return ok(
        {
            "pauses": [
                {
                    "scope": each.scope,
                    "name": each.name,
                    "state": "pausing" if each.in_flight else "paused",
                    "inFlight": each.in_flight,
                    **({} if each.estimate_s is None else {"estimateSec": round(each.estimate_s)}),
                    "pausedAt": json_values.timestamp(each.paused_at, call.deps.zone),
                    "pausedBy": each.paused_by,
                    "reason": each.reason,
                }
                for each in call.deps.reads.pauses(call.now)
            ]
        }
    )


@_pausing("/pause", id="pauseAll", reach="server")
def pause_all(call: Call, body: PauseBody) -> ApiResponse:
    """Pause everything: start no queued and no scheduled run.

    Running runs continue. ``POST /dags/{fileName}/start`` and ``POST /dag-runs`` still start runs.
    """
    return call.carry_out(SetPause(by=call.user, scope="global", reason=body.reason), then={"paused": True})


@_pausing("/resume", id="resumeAll", reach="server")
def resume_all(call: Call, body: ResumeBody) -> ApiResponse:
    """End the pause of everything. Queues and DAGs that were paused individually stay paused."""
    return call.carry_out(EndPause(by=call.user, scope="global", catchup=body.catchup), then={"paused": False})


@_pausing("/queues/{name}/pause", id="pauseQueue")
def pause_queue(call: Call, body: PauseBody, name: str) -> ApiResponse:
    """Pause a queue: start none of its queued runs. Running runs continue.

    ``POST /dags/{fileName}/start`` and ``POST /dag-runs`` still start runs, because they do not queue.
    """
    queue = checked_values.queue_name(name, "name")
    return call.carry_out(SetPause(by=call.user, scope="queue", name=queue, reason=body.reason), then={"paused": True})


@_pausing("/queues/{name}/resume", id="resumeQueue")
def resume_queue(call: Call, body: ResumeBody, name: str) -> ApiResponse:
    """End the pause of a queue: its queued runs start, including those that schedules queued meanwhile."""
    queue = checked_values.queue_name(name, "name")
    if body.catchup is not None:
        raise bad_request(
            "catchup: leave it out; a paused queue misses no scheduled time, because the runs are queued",
            field="catchup",
        )
    return call.carry_out(EndPause(by=call.user, scope="queue", name=queue), then={"paused": False})


@_pausing("/dags/{fileName}/pause", id="pauseDAG")
def pause_dag(call: Call, body: PauseBody, file_name: str) -> ApiResponse:
    """Pause a DAG: start none of its scheduled or queued runs.

    Running runs continue, and ``POST /dags/{fileName}/start`` still starts runs.
    """
    return call.carry_out(
        SetPause(by=call.user, scope="dag", name=checked_values.file_name(file_name), reason=body.reason),
        then={"paused": True},
    )


@_pausing("/dags/{fileName}/resume", id="resumeDAG")
def resume_dag(call: Call, body: ResumeBody, file_name: str) -> ApiResponse:
    """End the pause of a DAG. ``catchup`` selects which scheduled times missed during the pause are fired now."""
    return call.carry_out(
        EndPause(by=call.user, scope="dag", name=checked_values.file_name(file_name), catchup=body.catchup),
        then={"paused": False},
    )
