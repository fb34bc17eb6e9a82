"""The requests of operations: fires. Written by ``python -m scripts.client_operations``."""

from datetime import datetime
from typing import Literal

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.fires import AllSlotsSchema, CalendarSchema, SlotsSchema

__all__ = ["get_calendar", "get_dag_calendar", "list_dag_slots", "list_slots"]


def list_dag_slots(
    file_name: str,
    *,
    limit: int | None = None,
    before: datetime | None = None,
    outcome: Literal["", "fired", "skipped", "missed"] | None = None,
    cursor: str | None = None,
) -> ApiCall[SlotsSchema]:
    """List the scheduled times of a DAG and what happened at each, newest first, and the next scheduled time."""
    return ApiCall(
        "GET",
        path_of("dags", file_name, "slots"),
        model(SlotsSchema),
        query={"limit": limit, "before": before, "outcome": outcome, "cursor": cursor},
    )


def list_slots(
    *,
    limit: int | None = None,
    before: datetime | None = None,
    outcome: Literal["", "fired", "skipped", "missed"] | None = None,
    cursor: str | None = None,
    since: datetime | None = None,
) -> ApiCall[AllSlotsSchema]:
    """List the scheduled times of all DAGs and what happened at each, newest first."""
    return ApiCall(
        "GET",
        "/slots",
        model(AllSlotsSchema),
        query={"limit": limit, "before": before, "outcome": outcome, "cursor": cursor, "since": since},
    )


def get_dag_calendar(file_name: str, *, month: str | None = None) -> ApiCall[CalendarSchema]:
    """Return a month of a DAG's start schedule: each day with its fires by outcome, and the scheduled times to come."""
    return ApiCall("GET", path_of("dags", file_name, "calendar"), model(CalendarSchema), query={"month": month})


def get_calendar(*, month: str | None = None) -> ApiCall[CalendarSchema]:
    """Return a month of all start schedules: each day with its fires by outcome, and the scheduled times to come."""
    return ApiCall("GET", "/calendar", model(CalendarSchema), query={"month": month})
