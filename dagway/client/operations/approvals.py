"""The requests of operations: approvals. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, no_content, path_of

__all__ = ["approve_dag_run_step", "approve_sub_dag_run_step", "reject_dag_run_step", "reject_sub_dag_run_step"]


def approve_dag_run_step(
    name: str, dag_run_id: str, step_name: str, *, inputs: dict[str, str] | None = None
) -> ApiCall[None]:
    """Approve a step that waits for approval."""
    return ApiCall(
        "POST",
        path_of("dag-runs", name, dag_run_id, "steps", step_name, "approve"),
        no_content,
        body={"inputs": inputs},
    )


def approve_sub_dag_run_step(
    name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str, *, inputs: dict[str, str] | None = None
) -> ApiCall[None]:
    """In a sub-run, approve a step that waits for approval."""
    return ApiCall(
        "POST",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "approve"),
        no_content,
        body={"inputs": inputs},
    )


def reject_dag_run_step(name: str, dag_run_id: str, step_name: str, *, reason: str | None = None) -> ApiCall[None]:
    """Reject a step that waits for approval and end its run as ``rejected``."""
    return ApiCall(
        "POST", path_of("dag-runs", name, dag_run_id, "steps", step_name, "reject"), no_content, body={"reason": reason}
    )


def reject_sub_dag_run_step(
    name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str, *, reason: str | None = None
) -> ApiCall[None]:
    """In a sub-run, reject a step that waits for approval."""
    return ApiCall(
        "POST",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "reject"),
        no_content,
        body={"reason": reason},
    )
