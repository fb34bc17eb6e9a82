"""Limits of queues and pauses, changed while everything runs: additions to the contract."""

from typing import Any, Literal

from pydantic import Field

from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, ok
from services.api.representations import json_values
from shared.contracts.commands import Command, EndPause, RemoveQueue, SetPause, SetQueue

__all__ = ["QUEUES_ADMIN"]

QUEUES_ADMIN = Operations()
_MAX_REASON = 500


class LimitBody(Body):
    max_concurrency: int = Field(alias="maxConcurrency", ge=1, le=1_000_000)


class PauseBody(Body):
    reason: str = Field(default="", max_length=_MAX_REASON)


class ResumeBody(Body):
    """``catchup``: what to make up for; absent: as each dag says."""

    catchup: Literal["none", "latest", "all"] | None = None


@QUEUES_ADMIN.put("/queues/{name}", id="setQueueLimit", role="manager", permission="run_dags", body=LimitBody)
def set_limit(call: Call, body: LimitBody, name: str) -> Answer:
    """Make a queue global with this limit; what runs goes on running."""
    queue = json_values.queue_name(name, "name")
    limit = body.max_concurrency
    return _done(call, SetQueue(by=call.user, name=queue, max_concurrency=limit), name=queue, maxConcurrency=limit)


@QUEUES_ADMIN.delete("/queues/{name}", id="removeQueueLimit", role="manager", permission="run_dags")
def remove_limit(call: Call, name: str) -> Answer:
    """Make a global queue a dag's own again."""
    return _done(call, RemoveQueue(by=call.user, name=json_values.queue_name(name, "name")))


@QUEUES_ADMIN.get("/pauses", id="listPauses")
def pauses(call: Call) -> Answer:
    """List what is paused, what is still under way, and in how many seconds that should be over."""
    return ok(
        {
            "pauses": [
                {
                    "scope": each.scope,
                    "name": each.name,
                    "state": "pausing" if each.in_flight else "drained",
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


@QUEUES_ADMIN.post("/pause", id="pauseAll", role="manager", permission="run_dags", body=PauseBody, body_required=False)
def pause_all(call: Call, body: PauseBody) -> Answer:
    """Admit and fire nothing more; what runs goes on to its end, and a person may still start runs."""
    return _done(call, SetPause(by=call.user, scope="global", reason=body.reason), paused=True)


@QUEUES_ADMIN.post(
    "/resume", id="resumeAll", role="manager", permission="run_dags", body=ResumeBody, body_required=False
)
def resume_all(call: Call, body: ResumeBody) -> Answer:
    """Go on."""
    return _done(call, EndPause(by=call.user, scope="global", catchup=body.catchup), paused=False)


@QUEUES_ADMIN.post(
    "/queues/{name}/pause", id="pauseQueue", role="manager", permission="run_dags", body=PauseBody, body_required=False
)
def pause_queue(call: Call, body: PauseBody, name: str) -> Answer:
    """Admit nothing more from a queue."""
    queue = json_values.queue_name(name, "name")
    return _done(call, SetPause(by=call.user, scope="queue", name=queue, reason=body.reason), paused=True)


@QUEUES_ADMIN.post(
    "/queues/{name}/resume",
    id="resumeQueue",
    role="manager",
    permission="run_dags",
    body=ResumeBody,
    body_required=False,
)
def resume_queue(call: Call, body: ResumeBody, name: str) -> Answer:
    """Admit from a queue again."""
    queue = json_values.queue_name(name, "name")
    return _done(call, EndPause(by=call.user, scope="queue", name=queue, catchup=body.catchup), paused=False)


@QUEUES_ADMIN.post(
    "/dags/{fileName}/pause", id="pauseDAG", role="manager", permission="run_dags", body=PauseBody, body_required=False
)
def pause_dag(call: Call, body: PauseBody, file_name: str) -> Answer:
    """Fire no slot of a dag and admit none of its queued runs."""
    return _done(
        call,
        SetPause(by=call.user, scope="dag", name=json_values.file_name(file_name), reason=body.reason),
        paused=True,
    )


@QUEUES_ADMIN.post(
    "/dags/{fileName}/resume",
    id="resumeDAG",
    role="manager",
    permission="run_dags",
    body=ResumeBody,
    body_required=False,
)
def resume_dag(call: Call, body: ResumeBody, file_name: str) -> Answer:
    """Let a dag go on; the slots that passed meanwhile are decided by ``catchup``."""
    return _done(
        call,
        EndPause(by=call.user, scope="dag", name=json_values.file_name(file_name), catchup=body.catchup),
        paused=False,
    )


def _done(call: Call, command: Command, **result: Any) -> Answer:
    outcome = call.deps.commands.ask(command, key=call.key)
    return accepted({"commandId": outcome.command_id}) if isinstance(outcome, Accepted) else ok(result)
