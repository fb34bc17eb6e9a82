"""Draining workers: additions to Dagu's API. ``GET /workers`` is in ``system``."""

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations
from services.api.problems import not_found
from services.api.response_schemas.system import DrainedSchema
from shared.contracts.commands import DrainWorker, ResumeWorker

__all__ = ["WORKERS"]

WORKERS = Operations()
_MAX_REASON = 500
_MAX_ID = 200


class DrainBody(Body):
    reason: str = Field(default="", max_length=_MAX_REASON, description="why: everyone who sees the worker sees it")


@WORKERS.post(
    "/workers/{workerId}/drain",
    id="drainWorker",
    role="manager",
    reach="server",
    permission="run_dags",
    body_required=False,
    response=DrainedSchema,
)
def drain(call: Call, body: DrainBody, worker_id: str) -> ApiResponse:
    """Give a worker no new runs. It goes on with the runs that it works on, whose later steps need its files.

    The worker stays drained over restarts, until it is resumed or has been away for so long that it is forgotten.
    """
    command = DrainWorker(by=call.user, worker_id=_id(worker_id), reason=body.reason)
    return call.carry_out(command, then={"drained": True})


@WORKERS.post(
    "/workers/{workerId}/resume",
    id="resumeWorker",
    role="manager",
    reach="server",
    permission="run_dags",
    response=DrainedSchema,
)
def resume(call: Call, worker_id: str) -> ApiResponse:
    """Give a drained worker new runs again."""
    return call.carry_out(ResumeWorker(by=call.user, worker_id=_id(worker_id)), then={"drained": False})


def _id(worker_id: str) -> str:
    if len(worker_id) > _MAX_ID or "\0" in worker_id:
        raise not_found("There is no worker with such an id")
    return worker_id
