"""The requests of operations: search. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.dags import SearchResponseSchema

__all__ = ["search_dags"]


def search_dags(*, q: str | None = None) -> ApiCall[SearchResponseSchema]:
    """Search the specs of all DAGs for a regular expression (RE2), ignoring case."""
    return ApiCall("GET", "/dags/search", model(SearchResponseSchema), query={"q": q})
