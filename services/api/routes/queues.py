"""The queues and their runs, and the limits of global queues (additions to Dagu's API)."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, Query, ok
from services.api.problems import bad_request, not_found
from services.api.requests import checked_values
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.response_schemas.base import RemovedSchema
from services.api.response_schemas.queues import QueueItemsSchema, QueueLimitSchema, QueueSchema, QueuesSchema
from services.api.run_details.builder import run_summaries
from services.api.run_details.specs import dags_of_runs
from shared.admission.runs import PRIORITIES, behind
from shared.contracts.commands import RemoveQueue, SetQueue
from shared.store.reads.reader import QueuePlace, QueueRow, RunRow

__all__ = ["QUEUES"]

QUEUES = Operations()
_GLOBAL = "global"
_PAGE, _MAX_PAGE = 100, 500
_OLD_PAGING = frozenset({"page", "perPage", "type"})


class QueueItemsQuery(Query):
    limit: int = Field(default=_PAGE, ge=1, le=_MAX_PAGE)
    cursor: str = Field(default="", max_length=1000, description="nextCursor of the previous page")


class LimitBody(Body):
    max_concurrency: int = Field(alias="maxConcurrency", ge=1, le=1_000_000)


@QUEUES.get("/queues", id="listQueues", response=QueuesSchema)
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


@QUEUES.get("/queues/{name}", id="getQueue", response=QueueSchema)
def queue(call: Call, name: str) -> ApiResponse:
    """Return one queue of the list of queues: an operation of Dagu 2."""
    wanted = checked_values.queue_name(name, "name")
    for each in _shown_queues(call, wanted):
        return ok(_queue(call, each, _limits(call, [each])[each.name]))
    raise not_found(f"name: there is no queue {name!r}, or it has no runs")


@QUEUES.get("/queues/{name}/items", id="listQueueItems", response=QueueItemsSchema)
def queue_items(call: Call, query: QueueItemsQuery, name: str) -> ApiResponse:
    """List the queued runs of a queue page by page, in the order of admission: an operation of Dagu 2."""
    if old := sorted(_OLD_PAGING & call.arguments):
        raise bad_request(f"{old[0]}: not supported; use limit and cursor, which list the queued runs", field=old[0])
    after = read_cursor(query.cursor, _place) if query.cursor else None
    found = call.deps.reads.queued_runs(checked_values.queue_name(name, "name"), after=after, limit=query.limit + 1)
    shown = found[: query.limit]
    cursor = _cursor(shown[-1]) if len(found) > len(shown) else None
    return ok({"items": run_summaries(call.deps, shown, call.now), "nextCursor": cursor})


@QUEUES.put("/queues/{name}", id="setQueueLimit", role="manager", permission="run_dags", response=QueueLimitSchema)
def set_limit(call: Call, body: LimitBody, name: str) -> ApiResponse:
    """Set how many runs of a queue are active at once, and make the queue global. Active runs continue."""
    queue = checked_values.queue_name(name, "name")
    limit = body.max_concurrency
    command = SetQueue(by=call.user, name=queue, max_concurrency=limit)
    return call.carry_out(command, then={"name": queue, "maxConcurrency": limit})


@QUEUES.delete("/queues/{name}", id="removeQueueLimit", role="manager", permission="run_dags", response=RemovedSchema)
def remove_limit(call: Call, name: str) -> ApiResponse:
    """Remove the limit of a global queue, which is then no longer global: its DAGs' ``maxActiveRuns`` apply again."""
    return call.carry_out(RemoveQueue(by=call.user, name=checked_values.queue_name(name, "name")), then={})


def _cursor(run: RunRow) -> str:
    priority, at, run_key = QueuePlace.of(run)
    return write_cursor(priority, at.isoformat(), run_key)


def _place(values: list[Any]) -> QueuePlace | None:
    match values:
        case [int(priority), str(at), str(run_key)] if priority in PRIORITIES:
            found = QueuePlace(priority, moment(at), run_key)
            behind(found)  # raises for a time that no run can have
            return found
    return None


def _shown_queues(call: Call, name: str = "") -> list[QueueRow]:
    every = call.deps.reads.queues(name=name)
    return [each for each in every if each.kind == _GLOBAL or each.running_count or each.queued_count]


def _limits(call: Call, queues: list[QueueRow]) -> dict[str, int]:
    """Return the limit of each queue, or 0 for no limit. The queue of a single DAG has that DAG's ``maxActiveRuns``."""
    example = {each.name: (*each.queued, *each.running)[0] for each in queues if each.max_concurrency is None}
    models = dags_of_runs(call.deps, example.values())
    own = {name: dag.max_active_runs for name, run in example.items() if (dag := models[run.run_key]) is not None}
    return {each.name: max(0, each.max_concurrency or own.get(each.name, 0)) for each in queues}


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
