"""The requests of operations: sub runs. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.runs import ListSubRunsResponseSchema, RunResponseSchema

__all__ = ["get_sub_dag_run_details", "get_sub_dag_runs"]


def get_sub_dag_runs(name: str, dag_run_id: str, *, parent: str | None = None) -> ApiCall[ListSubRunsResponseSchema]:
    """List the sub-runs that a run called, or that one of its sub-runs called."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs"),
        model(ListSubRunsResponseSchema),
        query={"parentSubDAGRunId": parent},
    )


def get_sub_dag_run_details(name: str, dag_run_id: str, sub_dag_run_id: str) -> ApiCall[RunResponseSchema]:
    """Return one sub-run with its nodes."""
    return ApiCall(
        "GET", path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id), model(RunResponseSchema)
    )
