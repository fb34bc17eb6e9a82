"""The fires of one DAG's schedule or of all, i.e. the outcomes of scheduled times: additions to Dagu's API."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from services.api.operations import ApiResponse, Call, Operations, Query, json_bytes, ok
from services.api.problems import bad_request
from services.api.representations import json_values
from services.api.representations.calendar_json import calendar_days, month_bounds, planned_times
from services.api.requests import checked_values
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.response_schemas.fires import AllSlotsSchema, CalendarSchema, SlotsSchema
from services.api.run_details.lookup import find_dag
from services.api.run_details.specs import load_dags
from shared.clock import local_zone
from shared.status import FireOutcome
from shared.store.reads.reader import DagRow, FirePlace, FireRow

__all__ = ["FIRES"]

FIRES = Operations()
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_MOST_SCHEDULES = 500
"""How many DAGs have their planned times counted: those that are due first."""
_MOST_OF_ALL_DAGS = 5_000
"""How many planned times of all DAGs are counted."""


class FiresQuery(Query):
    limit: int = Field(default=100, ge=1, le=1000, description="how many fires to list")
    before: AwareDatetime | None = Field(default=None, description="only fires before this time (RFC 3339)")
    outcome: Literal["", FireOutcome] = ""
    cursor: str = Field(default="", max_length=1200, description="nextCursor of a page: return the page after it")


@FIRES.get("/dags/{fileName}/slots", id="listDAGSlots", response=SlotsSchema)
def fires(call: Call, query: FiresQuery, file_name: str) -> ApiResponse:
    """List the scheduled times of a DAG and what happened at each, newest first, and the next scheduled time."""
    stem = checked_values.file_name(file_name)
    found = _page(call, query, stem)
    if not found["slots"]:
        find_dag(call.deps, file_name)  # a DAG without fires is no error
    return ok({"nextSlot": json_values.timestamp(call.deps.reads.next_fire_at(stem), call.deps.zone), **found})


class AllFiresQuery(FiresQuery):
    since: AwareDatetime | None = Field(default=None, description="only fires at this time or later (RFC 3339)")


@FIRES.get("/slots", id="listSlots", response=AllSlotsSchema)
def all_fires(call: Call, query: AllFiresQuery) -> ApiResponse:
    """List the scheduled times of all DAGs and what happened at each, newest first."""
    return ok(_page(call, query, since=checked_values.utc(query.since, "since")))


def _page(call: Call, query: FiresQuery, stem: str = "", *, since: datetime | None = None) -> dict[str, Any]:
    before = checked_values.utc(query.before, "before")
    behind = read_cursor(query.cursor, _place) if query.cursor else None
    found = call.deps.reads.fires(
        stem, since=since, before=before, behind=behind, outcome=query.outcome, limit=query.limit + 1
    )
    shown = found[: query.limit]
    cursor = None
    if len(found) > query.limit:
        at, *names = shown[-1].place
        cursor = write_cursor(at.isoformat(), *names)
    return {"slots": [_fire(call, each) for each in shown], "nextCursor": cursor}


def _place(values: list[Any]) -> FirePlace | None:
    match values:
        case [str(at), str(file_name), str(kind)]:
            return FirePlace(moment(at), file_name, kind)
    return None


def _fire(call: Call, fire: FireRow) -> dict[str, Any]:
    def shown(at: datetime) -> str:
        return json_values.timestamp(at, call.deps.zone)

    return {
        "fileName": fire.file_name,
        "kind": fire.kind,
        "slot": shown(fire.slot_at),
        **({"until": shown(fire.until_at)} if fire.until_at else {}),
        "expression": fire.expression,
        "outcome": fire.outcome,
        "reason": fire.reason,
        "dagName": fire.dag_name,
        **({"dagRunId": fire.dag_run_id} if fire.dag_run_id else {}),
        "decidedAt": shown(fire.decided_at),
    }


class CalendarQuery(Query):
    month: str = Field(default="", max_length=7, description="YYYY-MM, in the server's time zone; default: this month")


@FIRES.get("/dags/{fileName}/calendar", id="getDAGCalendar", response=CalendarSchema)
def calendar(call: Call, query: CalendarQuery, file_name: str) -> ApiResponse:
    """Return a month of a DAG's start schedule: each day with its fires by outcome, and the scheduled times to come."""
    dag = find_dag(call.deps, file_name)
    zone = call.deps.zone or local_zone()
    month = _month(call, query, zone)
    fires = call.deps.reads.fire_times(dag.file_name, *month_bounds(month, zone))
    planned = planned_times(_start_schedules(call, [dag]), month, now=call.now, zone=zone)
    return ok(calendar_days(month, fires, planned, zone=zone))


@FIRES.get("/calendar", id="getCalendar", response=CalendarSchema)
def calendar_of_all(call: Call, query: CalendarQuery) -> ApiResponse:
    """Return a month of all start schedules: each day with its fires by outcome, and the scheduled times to come."""
    zone = call.deps.zone or local_zone()
    month = _month(call, query, zone)
    return ApiResponse(
        200, call.deps.single_flight.get(f"calendar {month}", lambda: json_bytes(_calendar_of_all(call, month, zone)))
    )


def _calendar_of_all(call: Call, month: date, zone: tzinfo) -> dict[str, Any]:
    page = call.deps.reads.dag_page(sort="next_start", per_page=_MOST_SCHEDULES + 1)
    due = [dag for dag in page.dags if dag.next_start_at is not None]
    known_until = due.pop().next_start_at if len(due) > _MOST_SCHEDULES else None
    schedules = _start_schedules(call, due)
    planned = planned_times(schedules, month, now=call.now, zone=zone, known_until=known_until, most=_MOST_OF_ALL_DAGS)
    return calendar_days(month, call.deps.reads.fire_counts(*month_bounds(month, zone)), planned, zone=zone)


def _month(call: Call, query: CalendarQuery, zone: tzinfo) -> date:
    """Return the first day of the month that is asked for."""
    if not query.month:
        return call.now.astimezone(zone).date().replace(day=1)
    text = query.month
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text, re.ASCII)
    if not found or not _FIRST_YEAR <= int(found[1]) <= _LAST_YEAR:
        raise bad_request("month: must be YYYY-MM", field="month")
    return date(int(found[1]), int(found[2]), 1)


def _start_schedules(call: Call, dags: Iterable[DagRow]) -> list[Sequence[str]]:
    """Return the cron expressions that start each DAG. A suspended one has none."""
    loaded = load_dags(call.deps, [dag for dag in dags if not dag.suspended]).values()
    return [each.dag.schedule.start for each in loaded if each.dag]
