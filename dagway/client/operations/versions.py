"""The requests of operations: versions. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.dags import (
    DiffResponseSchema,
    RestoreResponseSchema,
    VersionsResponseSchema,
    VersionTextSchema,
)

__all__ = ["diff_dag_versions", "get_dag_version", "list_dag_versions", "restore_dag_version"]


def list_dag_versions(file_name: str) -> ApiCall[VersionsResponseSchema]:
    """List the stored versions of a DAG's spec, newest first, without the specs."""
    return ApiCall("GET", path_of("dags", file_name, "versions"), model(VersionsResponseSchema))


def get_dag_version(file_name: str, version: str) -> ApiCall[VersionTextSchema]:
    """Return one stored version of a DAG, with its spec."""
    return ApiCall("GET", path_of("dags", file_name, "versions", version), model(VersionTextSchema))


def diff_dag_versions(file_name: str, version: str, *, to: int | None = None) -> ApiCall[DiffResponseSchema]:
    """Return the changes from a version of a DAG's spec to another (``to``, else the newest) as a unified diff."""
    return ApiCall(
        "GET", path_of("dags", file_name, "versions", version, "diff"), model(DiffResponseSchema), query={"to": to}
    )


def restore_dag_version(file_name: str, version: str) -> ApiCall[RestoreResponseSchema]:
    """Restore an older version of a DAG's spec: store it as a new version."""
    return ApiCall("POST", path_of("dags", file_name, "versions", version, "restore"), model(RestoreResponseSchema))
