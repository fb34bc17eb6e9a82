"""The system itself: health, metrics, workers, services, queues."""

from datetime import datetime, timedelta
from typing import Any

from services.api.observability import dagu_metrics
from services.api.operations import Answer, Call, Operations, Query, ok, text
from services.api.problems import UNAVAILABLE
from services.api.representations import json_values, run_json
from services.api.routes.probes import schema_of, trouble
from services.api.run_details.reasons import add_reasons
from shared.status import AttemptState
from shared.store.reads.reader import QueueRow, ServiceRow, TaskRow, WorkerRow

__all__ = ["SYSTEM"]

SYSTEM = Operations()
_HEALTHY_S, _WARNING_S = 5, 15
_FORGOTTEN = timedelta(hours=1)
"""A worker that ended or was lost is still shown for so long."""
_GLOBAL = "global"
_HOUR_S, _DAY_S = 3600.0, 86_400.0


class HistoryQuery(Query):
    duration: str = "1h"


@SYSTEM.get("/health", id="getHealthStatus", role="public")
def health(call: Call) -> Answer:
    """Say whether the gateway reaches the database and the broker."""
    schema = schema_of(call.deps)
    why = trouble(call.deps, schema)
    body: dict[str, Any] = {
        "status": "unhealthy" if why else "healthy",
        "version": call.deps.version,
        "schemaRevision": None if schema is None else {"expected": schema.expected, "found": schema.found},
        "uptime": int((call.now - call.deps.started_at).total_seconds()),
        "timestamp": json_values.timestamp(call.now, call.deps.zone),
    }
    return Answer(UNAVAILABLE, {**body, "error": why}) if why else ok(body)


@SYSTEM.get("/metrics", id="getMetrics")
def get_metrics(call: Call) -> Answer:
    """Return the figures for Prometheus."""
    return text(dagu_metrics.render(call.deps, call.now), dagu_metrics.MEDIA_TYPE)


@SYSTEM.get("/workers", id="getWorkers")
def workers(call: Call) -> Answer:
    """List the workers that are there, and those that left or were lost a moment ago."""
    seen = [each for each in call.deps.reads.workers() if each.heartbeat_at > call.now - _FORGOTTEN]
    return ok({"workers": [_worker(call, each) for each in seen], "errors": []})


@SYSTEM.get("/services/scheduler", id="getSchedulerStatus")
def schedulers(call: Call) -> Answer:
    """List the schedulers; all of them are active, none holds a lock."""
    found = call.deps.reads.services("scheduler", since=call.now - call.deps.service_alive)
    return ok({"schedulers": [_service(call, each) for each in found]})


@SYSTEM.get("/services/coordinator", id="getCoordinatorStatus")
def coordinators(_call: Call) -> Answer:
    """List coordinators: there are none, the broker stands in their place."""
    return ok({"coordinators": []})


@SYSTEM.get("/services/resources/history", id="getResourceHistory", query=HistoryQuery)
def resource_history(call: Call, query: HistoryQuery) -> Answer:
    """Return how loaded the gateway's machine was, for a day at most; what is no duration means an hour."""
    asked_s = json_values.duration(query.duration)
    span_s = _HOUR_S if asked_s is None else min(asked_s, _DAY_S)
    return ok(call.deps.resources.since(int(call.now.timestamp() - span_s)))


@SYSTEM.get("/queues", id="listQueues")
def queues(call: Call) -> Answer:
    """List the queues with what runs and waits in them; a dag's own only while something does."""
    shown = [
        each for each in call.deps.reads.queues() if each.kind == _GLOBAL or each.running_count or each.queued_count
    ]
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


def _limits(call: Call, queues: list[QueueRow]) -> dict[str, int]:
    """Return how many runs each queue takes at once; 0: as many as come. A dag's own queue has its dag's limit."""
    example = {each.name: (*each.queued, *each.running)[0] for each in queues if each.max_concurrency is None}
    models = call.deps.run_models(example.values())
    own = {name: dag.max_active_runs for name, run in example.items() if (dag := models[run.run_key]) is not None}
    return {each.name: max(0, each.max_concurrency or own.get(each.name, 0)) for each in queues}


def _worker(call: Call, worker: WorkerRow) -> dict[str, Any]:
    tasks = [_task(call, task) for task in worker.tasks if task.state is AttemptState.RUNNING]
    return {
        "id": worker.worker_id,
        "labels": dict(worker.labels),
        "totalPollers": worker.slots,
        # What the worker said last is up to a heartbeat old.
        "busyPollers": min(worker.slots, max(worker.busy, len(tasks))),
        "runningTasks": tasks,
        "lastHeartbeatAt": json_values.timestamp(worker.heartbeat_at, call.deps.zone),
        "healthStatus": _health(worker, call.now),
        # From here on additions to the contract.
        "host": worker.host,
        "version": worker.version,
        "state": worker.state,
        "leaseUntil": json_values.timestamp(worker.lease_until, call.deps.zone),
        "executors": list(worker.executors),
    }


def _health(worker: WorkerRow, now: datetime) -> str:
    age_s = (now - worker.heartbeat_at).total_seconds()
    if worker.state in {"stopped", "lost"} or age_s >= _WARNING_S:
        return "unhealthy"
    return "healthy" if age_s < _HEALTHY_S else "warning"


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
    """Return a queue in today's field names and the older ones."""
    running = [run_json.summary(run, call.deps.zone) for run in queue.running]
    queued = [run_json.summary(run, call.deps.zone) for run in queue.queued]
    add_reasons(call, queue.queued, queued)
    return {
        "name": queue.name,
        "type": queue.kind,
        **({"maxConcurrency": limit} if limit else {}),
        "running": running,
        "queued": queued,
        "summary": {
            "running": queue.running_count,
            "queued": queue.queued_count,
            "total": queue.running_count + queue.queued_count,
        },
        "runningDAGRuns": running,
        "queuedDAGRuns": queued,
    }
