"""The requests of operations: control. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.dags import ErrorsResponseSchema

__all__ = [
    "delete_dag_run",
    "dequeue_dag_run",
    "dequeue_dag_run_by_post",
    "retry_dag_run",
    "stop_all_dag_runs",
    "terminate_dag_run",
    "update_dag_run_step_status",
    "update_sub_dag_run_step_status",
]


def stop_all_dag_runs(file_name: str) -> ApiCall[ErrorsResponseSchema]:
    """Stop all running runs of a DAG."""
    return ApiCall("POST", path_of("dags", file_name, "stop-all"), model(ErrorsResponseSchema))


def terminate_dag_run(name: str, dag_run_id: str) -> ApiCall[None]:
    """Stop a running run."""
    return ApiCall("POST", path_of("dag-runs", name, dag_run_id, "stop"), no_content)


def retry_dag_run(name: str, dag_run_id: str, *, step_name: str | None = None) -> ApiCall[None]:
    """Retry the steps of a run that did not succeed, and all that depend on them: the same run goes on."""
    return ApiCall("POST", path_of("dag-runs", name, dag_run_id, "retry"), no_content, body={"stepName": step_name})


def delete_dag_run(name: str, dag_run_id: str) -> ApiCall[None]:
    """Delete a run that has ended, with its sub-runs and logs."""
    return ApiCall("DELETE", path_of("dag-runs", name, dag_run_id), no_content)


def dequeue_dag_run_by_post(name: str, dag_run_id: str) -> ApiCall[None]:
    """Remove a queued run from its queue."""
    return ApiCall("POST", path_of("dag-runs", name, dag_run_id, "dequeue"), no_content)


def dequeue_dag_run(name: str, dag_run_id: str) -> ApiCall[None]:
    """Remove a queued run from its queue."""
    return ApiCall("GET", path_of("dag-runs", name, dag_run_id, "dequeue"), no_content)


def update_dag_run_step_status(name: str, dag_run_id: str, step_name: str, *, status: int) -> ApiCall[None]:
    """Set the status of one step by hand."""
    return ApiCall(
        "PATCH",
        path_of("dag-runs", name, dag_run_id, "steps", step_name, "status"),
        no_content,
        body={"status": status},
    )


def update_sub_dag_run_step_status(
    name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str, *, status: int
) -> ApiCall[None]:
    """Set the status of one step of a sub-run by hand."""
    return ApiCall(
        "PATCH",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "status"),
        no_content,
        body={"status": status},
    )
