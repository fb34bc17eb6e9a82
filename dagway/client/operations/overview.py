"""The requests of operations: overview. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model
from services.api.response_schemas.overview import ApprovalsSchema, OverviewSchema, TimelineSchema

__all__ = ["get_overview", "get_timeline", "list_approvals"]


def get_overview() -> ApiCall[OverviewSchema]:
    """Return the state of everything at a glance, and what failed in the last 24 hours."""
    return ApiCall("GET", "/overview", model(OverviewSchema))


def get_timeline(*, hours: int | None = None, limit: int | None = None) -> ApiCall[TimelineSchema]:
    """Return the newest runs that were active in the last hours, each with its first start and its end."""
    return ApiCall("GET", "/overview/timeline", model(TimelineSchema), query={"hours": hours, "limit": limit})


def list_approvals() -> ApiCall[ApprovalsSchema]:
    """List the steps that wait for approval, at most 200, including those of sub-runs."""
    return ApiCall("GET", "/approvals", model(ApprovalsSchema))
