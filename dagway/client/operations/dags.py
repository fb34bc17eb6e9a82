"""The requests of operations: dags. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.dags import (
    CreateDAGResponseSchema,
    DAGDetailsResponseSchema,
    ErrorsResponseSchema,
    HistoryResponseSchema,
    ListDAGsResponseSchema,
    RunInDAGResponseSchema,
    SpecResponseSchema,
    TagsResponseSchema,
    ValidateResponseSchema,
)

__all__ = [
    "create_new_dag",
    "delete_dag",
    "get_all_dag_tags",
    "get_dag_dag_run_details",
    "get_dag_dag_run_history",
    "get_dag_details",
    "get_dag_spec",
    "list_dags",
    "rename_dag",
    "update_dag_spec",
    "update_dag_suspension_state",
    "validate_dag_spec",
]


def list_dags(
    *,
    page: int | None = None,
    per_page: int | None = None,
    name: str | None = None,
    tag: str | None = None,
    faulty: bool | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> ApiCall[ListDAGsResponseSchema]:
    """List a page of DAGs, each with its latest run."""
    return ApiCall(
        "GET",
        "/dags",
        model(ListDAGsResponseSchema),
        query={
            "page": page,
            "perPage": per_page,
            "name": name,
            "tag": tag,
            "faulty": faulty,
            "sort": sort,
            "order": order,
        },
    )


def get_all_dag_tags() -> ApiCall[TagsResponseSchema]:
    """List the distinct tags of all DAGs."""
    return ApiCall("GET", "/dags/tags", model(TagsResponseSchema))


def validate_dag_spec(*, spec: str, name: str | None = None) -> ApiCall[ValidateResponseSchema]:
    """Validate the spec in the request and return its errors."""
    return ApiCall("POST", "/dags/validate", model(ValidateResponseSchema), body={"spec": spec, "name": name})


def create_new_dag(*, name: str, spec: str | None = None) -> ApiCall[CreateDAGResponseSchema]:
    """Create a DAG."""
    return ApiCall("POST", "/dags", model(CreateDAGResponseSchema), body={"name": name, "spec": spec})


def get_dag_details(file_name: str) -> ApiCall[DAGDetailsResponseSchema]:
    """Return a DAG with its latest run and the nodes of this run."""
    return ApiCall("GET", path_of("dags", file_name), model(DAGDetailsResponseSchema))


def delete_dag(file_name: str) -> ApiCall[None]:
    """Delete a DAG, and its file if the DAG folder is written, but keep its runs."""
    return ApiCall("DELETE", path_of("dags", file_name), no_content)


def get_dag_spec(file_name: str) -> ApiCall[SpecResponseSchema]:
    """Return the current spec of a DAG, as it was written, and its errors and warnings."""
    return ApiCall("GET", path_of("dags", file_name, "spec"), model(SpecResponseSchema))


def update_dag_spec(file_name: str, *, spec: str, if_match: str | None = None) -> ApiCall[ErrorsResponseSchema]:
    """Replace the spec of a DAG."""
    return ApiCall(
        "PUT",
        path_of("dags", file_name, "spec"),
        model(ErrorsResponseSchema),
        body={"spec": spec},
        headers={"If-Match": if_match},
    )


def rename_dag(file_name: str, *, new_file_name: str) -> ApiCall[None]:
    """Change the file name of a DAG."""
    return ApiCall("POST", path_of("dags", file_name, "rename"), no_content, body={"newFileName": new_file_name})


def update_dag_suspension_state(file_name: str, *, suspend: bool | None = None) -> ApiCall[None]:
    """Suspend or resume the schedule of a DAG: while it is suspended, its scheduled times are skipped."""
    return ApiCall("POST", path_of("dags", file_name, "suspend"), no_content, body={"suspend": suspend})


def get_dag_dag_run_history(file_name: str) -> ApiCall[HistoryResponseSchema]:
    """Return the newest 30 runs of a DAG, with their nodes."""
    return ApiCall("GET", path_of("dags", file_name, "dag-runs"), model(HistoryResponseSchema))


def get_dag_dag_run_details(file_name: str, dag_run_id: str) -> ApiCall[RunInDAGResponseSchema]:
    """Return one run of a DAG, or its latest run for the id ``latest``."""
    return ApiCall("GET", path_of("dags", file_name, "dag-runs", dag_run_id), model(RunInDAGResponseSchema))
