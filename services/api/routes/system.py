"""The state of the system: health, metrics, workers, services, queues."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from services.api.observability import dagu_metrics
from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import UNAVAILABLE, bad_request, not_found
from services.api.readiness import schema_of, trouble
from services.api.representations import json_values
from services.api.requests import checked_values
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.response_schemas.queues import QueueItemsSchema, QueueSchema, QueuesSchema
from services.api.response_schemas.system import (
    CoordinatorsSchema,
    HealthSchema,
    ResourcesSchema,
    SchedulersSchema,
    WorkersSchema,
)
from services.api.run_details.builder import run_summaries
from services.api.run_details.specs import dags_of_runs
from shared.status import AttemptState
from shared.store.reads.reader import QueuePlace, QueueRow, RunRow, ServiceRow, TaskRow, WorkerRow

__all__ = ["SYSTEM"]

SYSTEM = Operations()
_LATE = timedelta(seconds=5)
"""How long a worker whose lease has ended is in doubt, before it counts as unhealthy."""
_GLOBAL = "global"
_LIVE = "live"
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_PAGE, _MAX_PAGE = 100, 500
_OLD_PAGING = frozenset({"page", "perPage", "type"})


class HistoryQuery(Query):
    duration: str = Field(default="1h", description="how far back, such as 30m or 24h")


class QueueItemsQuery(Query):
    limit: int = Field(default=_PAGE, ge=1, le=_MAX_PAGE)
    cursor: str = Field(default="", max_length=1000, description="nextCursor of the previous page")


@SYSTEM.get("/health", id="getHealthStatus", role="public", response=HealthSchema)
def health(call: Call) -> ApiResponse:
    """Return whether the gateway is healthy: the database answers and the broker accepts commands."""
    schema = schema_of(call.deps)
    why = trouble(call.deps, schema)
    body: dict[str, Any] = {
        "status": "unhealthy" if why else "healthy",
        "version": call.deps.version,
        "schemaRevision": None if schema is None else {"expected": schema.expected, "found": schema.found},
        "uptime": int(call.deps.uptime_s()),
        "timestamp": json_values.timestamp(call.now, call.deps.zone),
    }
    return ApiResponse(UNAVAILABLE, {**body, "error": why}) if why else ok(body)


@SYSTEM.get("/metrics", id="getMetrics", media_type="text/plain")
def get_metrics(call: Call) -> ApiResponse:
    """Return the metrics of runs and of this gateway in the text format of Prometheus."""
    return ApiResponse(200, dagu_metrics.render(call.deps, call.now), dagu_metrics.MEDIA_TYPE)


@SYSTEM.get("/workers", id="getWorkers", response=WorkersSchema)
def workers(call: Call) -> ApiResponse:
    """List the workers that sent a heartbeat within the last hour, with the attempts that they run."""
    seen = [each for each in call.deps.reads.workers() if each.is_recent(call.now)]
    return ok({"workers": [_worker(call, each) for each in seen], "errors": []})


@SYSTEM.get("/services/scheduler", id="getSchedulerStatus", reach="server", response=SchedulersSchema)
def schedulers(call: Call) -> ApiResponse:
    """List the live schedulers. All of them are active: there is no leader."""
    found = call.deps.reads.services("scheduler", since=call.now - call.deps.service_alive)
    return ok({"schedulers": [_service(call, each) for each in found]})


@SYSTEM.get("/services/coordinator", id="getCoordinatorStatus", reach="server", response=CoordinatorsSchema)
def coordinators(_call: Call) -> ApiResponse:
    """Return an empty list of coordinators: Dagway has none, because the broker distributes the work."""
    return ok({"coordinators": []})


@SYSTEM.get("/services/resources/history", id="getResourceHistory", reach="server", response=ResourcesSchema)
def resource_history(call: Call, query: HistoryQuery) -> ApiResponse:
    """Return samples of CPU, memory, disk and load of the gateway's machine over ``duration``.

    A duration of more than a day counts as a day, an invalid duration as an hour.
    """
    asked_s = checked_values.duration(query.duration)
    span_s = _HOUR_S if asked_s is None else min(asked_s, _DAY_S)
    return ok(call.deps.resources.last(span_s))


@SYSTEM.get("/queues", id="listQueues", response=QueuesSchema)
def queues(call: Call) -> ApiResponse:
    """List the queues with their running and queued runs.

    Global queues are always listed, the queue of a single DAG only while it has running or queued runs.
    """
    shown = _shown_queues(call)
    limits = _limits(call, shown)
    running = sum(each.running_count for each in shown)
    capacity = sum(limits.values())
    return ok(
        {
            "queues": [_queue(call, each, limits[each.name]) for each in shown],
            "summary": {
                "totalQueues": len(shown),
                "totalRunning": running,
                "totalQueued": sum(each.queued_count for each in shown),
                "totalCapacity": capacity,
                "utilizationPercentage": running / capacity * 100 if capacity else 0,
            },
        }
    )


@SYSTEM.get("/queues/{name}", id="getQueue", response=QueueSchema)
def queue(call: Call, name: str) -> ApiResponse:
    """Return one queue of the list of queues: an operation of Dagu 2."""
    wanted = checked_values.queue_name(name, "name")
    for each in _shown_queues(call):
        if each.name == wanted:
            return ok(_queue(call, each, _limits(call, [each])[each.name]))
    raise not_found(f"name: there is no queue {name!r}, or it has no runs")


@SYSTEM.get("/queues/{name}/items", id="listQueueItems", response=QueueItemsSchema)
def queue_items(call: Call, query: QueueItemsQuery, name: str) -> ApiResponse:
    """List the queued runs of a queue page by page, in the order in which they will start: an operation of Dagu 2."""
    if old := sorted(_OLD_PAGING & call.arguments):
        raise bad_request(f"{old[0]}: not supported; use limit and cursor, which list the queued runs", field=old[0])
    after = read_cursor(query.cursor, _place) if query.cursor else None
    found = call.deps.reads.queued_runs(checked_values.queue_name(name, "name"), after=after, limit=query.limit + 1)
    shown = found[: query.limit]
    cursor = _cursor(shown[-1]) if len(found) > len(shown) else None
    return ok({"items": run_summaries(call.deps, shown, call.now), "nextCursor": cursor})


def _cursor(run: RunRow) -> str:
    at = run.queued_at or run.created_at
    return write_cursor(run.priority, at.isoformat(), run.run_key)


def _place(values: list[Any]) -> QueuePlace | None:
    match values:
        case [int(priority), str(at), str(run_key)] if abs(priority) < 2**31:
            return QueuePlace(priority, moment(at), run_key)
    return None


def _shown_queues(call: Call) -> list[QueueRow]:
    every = call.deps.reads.queues()
    return [each for each in every if each.kind == _GLOBAL or each.running_count or each.queued_count]


def _limits(call: Call, queues: list[QueueRow]) -> dict[str, int]:
    """Return the limit of each queue, or 0 for no limit. The queue of a single DAG has that DAG's ``maxActiveRuns``."""
    example = {each.name: (*each.queued, *each.running)[0] for each in queues if each.max_concurrency is None}
    models = dags_of_runs(call.deps, example.values())
    own = {name: dag.max_active_runs for name, run in example.items() if (dag := models[run.run_key]) is not None}
    return {each.name: max(0, each.max_concurrency or own.get(each.name, 0)) for each in queues}


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


def _service(call: Call, service: ServiceRow) -> dict[str, Any]:
    return {
        "instanceId": service.instance_id,
        "host": service.host,
        "status": "active",
        "startedAt": json_values.timestamp(service.started_at, call.deps.zone),
        "version": service.version,
    }


def _queue(call: Call, queue: QueueRow, limit: int) -> dict[str, Any]:
    """Return a queue.

    ``runningDAGRuns`` and ``queuedDAGRuns`` are older names of ``running`` and ``queued``; ``runningCount`` and
    ``queuedCount`` are Dagu 2's names of the counts.
    """
    runs = run_summaries(call.deps, (*queue.running, *queue.queued), call.now)
    running, queued = runs[: len(queue.running)], runs[len(queue.running) :]
    return {
        "name": queue.name,
        "type": queue.kind,
        **({"maxConcurrency": limit} if limit else {}),
        "running": running,
        "queued": queued,
        "runningCount": queue.running_count,
        "queuedCount": queue.queued_count,
        "summary": {
            "running": queue.running_count,
            "queued": queue.queued_count,
            "total": queue.running_count + queue.queued_count,
        },
        "runningDAGRuns": running,
        "queuedDAGRuns": queued,
    }
