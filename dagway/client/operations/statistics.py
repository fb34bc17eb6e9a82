"""The requests of operations: statistics. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.statistics import StatisticsSchema

__all__ = ["get_dag_statistics"]


def get_dag_statistics(file_name: str, *, runs: int | None = None) -> ApiCall[StatisticsSchema]:
    """Return how long the newest ended runs of a DAG and their steps took, and their failures by message."""
    return ApiCall("GET", path_of("dags", file_name, "statistics"), model(StatisticsSchema), query={"runs": runs})
