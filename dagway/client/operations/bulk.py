"""The requests of operations: bulk. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.bulk import BulkResponseSchema, StopQueueResponseSchema

__all__ = ["dequeue_dag_runs", "remove_dag_runs", "retry_dag_runs", "stop_dag_runs", "stop_queue"]


def stop_dag_runs(*, runs: list[dict[str, str]]) -> ApiCall[BulkResponseSchema]:
    """Stop up to 500 running runs."""
    return ApiCall("POST", "/dag-runs/bulk/stop", model(BulkResponseSchema), body={"runs": runs})


def retry_dag_runs(*, runs: list[dict[str, str]]) -> ApiCall[BulkResponseSchema]:
    """Retry up to 500 runs, each under its own id."""
    return ApiCall("POST", "/dag-runs/bulk/retry", model(BulkResponseSchema), body={"runs": runs})


def dequeue_dag_runs(*, runs: list[dict[str, str]]) -> ApiCall[BulkResponseSchema]:
    """Remove up to 500 queued runs from their queues."""
    return ApiCall("POST", "/dag-runs/bulk/dequeue", model(BulkResponseSchema), body={"runs": runs})


def remove_dag_runs(*, runs: list[dict[str, str]]) -> ApiCall[BulkResponseSchema]:
    """Delete up to 500 runs that have ended, with their logs."""
    return ApiCall("POST", "/dag-runs/bulk/remove", model(BulkResponseSchema), body={"runs": runs})


def stop_queue(name: str, *, cursor: str | None = None) -> ApiCall[StopQueueResponseSchema]:
    """Remove the queued runs from a queue, then stop its running ones: up to 500 runs in one request."""
    return ApiCall(
        "POST", path_of("queues", name, "stop-all"), model(StopQueueResponseSchema), query={"cursor": cursor}
    )
