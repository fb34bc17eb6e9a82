"""The requests of operations: runs. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.runs import (
    ListRunsResponseSchema,
    OutputsResponseSchema,
    RunResponseSchema,
    RunSpecResponseSchema,
)

__all__ = ["get_dag_run_details", "get_dag_run_outputs", "get_dag_run_spec", "list_dag_runs", "list_dag_runs_by_name"]


def list_dag_runs(
    *,
    name: str | None = None,
    dag_run_id: str | None = None,
    search: str | None = None,
    tag: str | None = None,
    started_by: str | None = None,
    status: int | None = None,
    from_date: int | None = None,
    to_date: int | None = None,
    cursor: str | None = None,
    limit: str | None = None,
) -> ApiCall[ListRunsResponseSchema]:
    """List the newest runs that match all filters, without sub-runs: at most 1000, or a page with ``cursor``."""
    return ApiCall(
        "GET",
        "/dag-runs",
        model(ListRunsResponseSchema),
        query={
            "name": name,
            "dagRunId": dag_run_id,
            "search": search,
            "tag": tag,
            "startedBy": started_by,
            "status": status,
            "fromDate": from_date,
            "toDate": to_date,
            "cursor": cursor,
            "limit": limit,
        },
    )


def list_dag_runs_by_name(
    name: str,
    *,
    dag_run_id: str | None = None,
    search: str | None = None,
    tag: str | None = None,
    started_by: str | None = None,
    status: int | None = None,
    from_date: int | None = None,
    to_date: int | None = None,
    cursor: str | None = None,
    limit: str | None = None,
) -> ApiCall[ListRunsResponseSchema]:
    """List a DAG's newest runs that match all filters, without sub-runs: at most 1000, or a page with ``cursor``."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name),
        model(ListRunsResponseSchema),
        query={
            "dagRunId": dag_run_id,
            "search": search,
            "tag": tag,
            "startedBy": started_by,
            "status": status,
            "fromDate": from_date,
            "toDate": to_date,
            "cursor": cursor,
            "limit": limit,
        },
    )


def get_dag_run_details(name: str, dag_run_id: str) -> ApiCall[RunResponseSchema]:
    """Return one run with its nodes."""
    return ApiCall("GET", path_of("dag-runs", name, dag_run_id), model(RunResponseSchema))


def get_dag_run_spec(name: str, dag_run_id: str) -> ApiCall[RunSpecResponseSchema]:
    """Return the spec that a run was created from, without the base configuration."""
    return ApiCall("GET", path_of("dag-runs", name, dag_run_id, "spec"), model(RunSpecResponseSchema))


def get_dag_run_outputs(name: str, dag_run_id: str) -> ApiCall[OutputsResponseSchema]:
    """Return the output variables that the steps of a run have set."""
    return ApiCall("GET", path_of("dag-runs", name, dag_run_id, "outputs"), model(OutputsResponseSchema))
