"""The fires of a DAG's schedule, i.e. the outcomes of its scheduled times: an addition to the contract."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.response_schemas.queues import SlotsSchema

__all__ = ["FIRES"]

FIRES = Operations()


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
