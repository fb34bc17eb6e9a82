"""The fires of a DAG's schedule, i.e. the outcomes of its scheduled times: an addition to the contract."""

import re
from datetime import date, datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from services.api.representations.calendar_json import calendar_days, month_bounds
from services.api.response_schemas.queues import CalendarSchema, SlotsSchema
from shared.clock import local_zone
from shared.store.reads.reader import DagRow

__all__ = ["FIRES"]

FIRES = Operations()
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


class FiresQuery(Query):
    limit: int = Field(default=100, ge=1, le=1000, description="how many fires to list")
    before: AwareDatetime | None = Field(default=None, description="only fires before this time (RFC 3339)")
    outcome: Literal["", "fired", "skipped", "missed"] = ""


@FIRES.get("/dags/{fileName}/slots", id="listDAGSlots", query=FiresQuery, response=SlotsSchema)
def fires(call: Call, query: FiresQuery, file_name: str) -> ApiResponse:
    """List the scheduled times of a DAG and what happened at each, newest first, and the next scheduled time."""
    stem = json_values.file_name(file_name)
    found = call.deps.reads.fires(stem, before=query.before, outcome=query.outcome, limit=query.limit)
    if not found and call.deps.reads.dag(stem) is None:
        raise not_found(f"There is no DAG {stem!r}")

    def shown(at: datetime | None) -> str:
        return json_values.timestamp(at, call.deps.zone)

    return ok(
        {
            "nextSlot": shown(call.deps.reads.next_fire_at(stem)),
            "slots": [
                {
                    "kind": each.kind,
                    "slot": shown(each.slot_at),
                    **({"until": shown(each.until_at)} if each.until_at else {}),
                    "expression": each.expression,
                    "outcome": each.outcome,
                    "reason": each.reason,
                    "dagName": each.dag_name,
                    **({"dagRunId": each.dag_run_id} if each.dag_run_id else {}),
                    "decidedAt": shown(each.decided_at),
                }
                for each in found
            ],
        }
    )


class CalendarQuery(Query):
    month: str = Field(
        default="", max_length=7, description="YYYY-MM, in the server's time zone; default: the present month"
    )


@FIRES.get("/dags/{fileName}/calendar", id="getDAGCalendar", query=CalendarQuery, response=CalendarSchema)
def calendar(call: Call, query: CalendarQuery, file_name: str) -> ApiResponse:
    """Return a month of a DAG's start schedule: each day with its fires by outcome, and the scheduled times to come."""
    dag = call.deps.reads.dag(json_values.file_name(file_name))
    if dag is None:
        raise not_found(f"There is no DAG {json_values.file_name(file_name)!r}")
    zone = call.deps.zone or local_zone()
    month = _month(query.month) if query.month else call.now.astimezone(zone).date().replace(day=1)
    fires = call.deps.reads.fire_times(dag.file_name, *month_bounds(month, zone))
    expressions = () if dag.suspended else _start_expressions(call, dag)
    return ok(calendar_days(month, fires, expressions, now=call.now, zone=zone))


def _month(text: str) -> date:
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text, re.ASCII)
    if not found or not _FIRST_YEAR <= int(found[1]) <= _LAST_YEAR:
        raise bad_request("month: must be YYYY-MM", field="month")
    return date(int(found[1]), int(found[2]), 1)


def _start_expressions(call: Call, dag: DagRow) -> tuple[str, ...]:
    cached = call.deps.specs.get(dag.spec_hash, file_name=dag.file_name)
    if cached is None:
        spec = dag.spec if dag.spec is not None else call.deps.reads.specs([dag.spec_hash]).get(dag.spec_hash, "")
        cached = call.deps.specs.parse(dag.spec_hash, spec, file_name=dag.file_name)
    return cached.dag.schedule.start if cached.dag else ()
