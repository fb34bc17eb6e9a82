"""The requests of operations: attempts. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.attempts import AttemptsSchema

__all__ = ["list_dag_run_attempts", "list_sub_dag_run_attempts"]


def list_dag_run_attempts(
    name: str, dag_run_id: str, *, step_name: str | None = None, limit: int | None = None, cursor: str | None = None
) -> ApiCall[AttemptsSchema]:
    """List every attempt of each step and handler, oldest first; a retry of the run adds to them."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "attempts"),
        model(AttemptsSchema),
        query={"stepName": step_name, "limit": limit, "cursor": cursor},
    )


def list_sub_dag_run_attempts(
    name: str,
    dag_run_id: str,
    sub_dag_run_id: str,
    *,
    step_name: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> ApiCall[AttemptsSchema]:
    """List every attempt of each step and handler of a sub-run, oldest first."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "attempts"),
        model(AttemptsSchema),
        query={"stepName": step_name, "limit": limit, "cursor": cursor},
    )
