"""The workers: list them, drain and resume them (an addition to Dagu's API)."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.response_schemas.workers import DrainedSchema, WorkersSchema
from shared.contracts.commands import DrainWorker, ResumeWorker
from shared.status import AttemptState
from shared.store.reads.reader import TaskRow, WorkerRow

__all__ = ["WORKERS"]

WORKERS = Operations()
_LATE = timedelta(seconds=5)
"""How long a worker whose lease has ended is in doubt, before it counts as unhealthy."""
_LIVE = "live"
_MAX_REASON = 500
_MAX_ID = 200


class DrainBody(Body):
    reason: str = Field(default="", max_length=_MAX_REASON, description="why: everyone who sees the worker sees it")


@WORKERS.get("/workers", id="getWorkers", response=WorkersSchema)
def workers(call: Call) -> ApiResponse:
    """List the workers that sent a heartbeat within the last hour, with the attempts that they run."""
    seen = [each for each in call.deps.reads.workers() if each.is_recent(call.now)]
    return ok({"workers": [_worker(call, each) for each in seen], "errors": []})


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


def _worker(call: Call, worker: WorkerRow) -> dict[str, Any]:
    tasks = [_task(call, task) for task in worker.tasks if task.state is AttemptState.RUNNING]
    drain = {
        "by": worker.drained_by,
        "at": json_values.timestamp(worker.drained_at, call.deps.zone),
        "reason": worker.drain_reason,
        "heard": worker.state != _LIVE,
    }
    return {
        "id": worker.worker_id,
        "labels": dict(worker.labels),
        "totalPollers": worker.slots,
        "busyPollers": worker.busy_slots,
        "runningTasks": tasks,
        "lastHeartbeatAt": json_values.timestamp(worker.heartbeat_at, call.deps.zone),
        "healthStatus": _health(worker, call.now),
        # Additions to Dagu's API from here on.
        "host": worker.host,
        "version": worker.version,
        "state": worker.believed_state(call.now),
        "leaseUntil": json_values.timestamp(worker.lease_until, call.deps.zone),
        "executors": list(worker.executors),
        **({"drain": drain} if worker.drained_at else {}),
    }


def _health(worker: WorkerRow, now: datetime) -> str:
    """Return how well the worker is by its lease: the age of a heartbeat says little, as idle workers send few."""
    if worker.state in {"stopped", "lost"} or worker.lease_until <= now - _LATE:
        return "unhealthy"
    return "healthy" if worker.lease_until > now else "warning"


def _task(call: Call, task: TaskRow) -> dict[str, Any]:
    return {
        "dagRunId": task.run.dag_run_id,
        "dagName": task.run.dag_name,
        "startedAt": json_values.timestamp(task.started_at, call.deps.zone),
        "rootDagRunName": task.root.dag_name,
        "rootDagRunId": task.root.dag_run_id,
        "parentDagRunName": task.parent.dag_name if task.parent else "",
        "parentDagRunId": task.parent.dag_run_id if task.parent else "",
    }


def _id(worker_id: str) -> str:
    if len(worker_id) > _MAX_ID or "\0" in worker_id:
        raise not_found("There is no worker with such an id")
    return worker_id
