"""The attempts of a run's steps: additions to Dagu's API, which has only the last one."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import bad_request
from services.api.representations.attempts_json import attempts_json
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.response_schemas.attempts import AttemptsSchema
from services.api.run_details.lookup import RUN, SUB_RUN, find_run, find_step
from shared.store.reads.reader import AttemptPlace

__all__ = ["ATTEMPTS"]

ATTEMPTS = Operations()
_MAX_PAGE = 1000
_MOST_INT = 2**31


class AttemptsQuery(Query):
    step_name: str = Field(default="", alias="stepName", description="only the attempts of this step or handler")
    limit: int | None = Field(
        default=None, ge=1, le=_MAX_PAGE, description="only so many of each step, the newest; default: all"
    )
    cursor: str = Field(
        default="", max_length=400, description="nextCursor of a page: return older attempts; needs stepName and limit"
    )


@ATTEMPTS.get(
    f"{SUB_RUN}/attempts",
    id="listSubDAGRunAttempts",
    response=AttemptsSchema,
    text="List every attempt of each step and handler of a sub-run, oldest first.",
)
@ATTEMPTS.get(f"{RUN}/attempts", id="listDAGRunAttempts", response=AttemptsSchema)
def attempts(call: Call, query: AttemptsQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "") -> ApiResponse:
    """List every attempt of each step and handler, oldest first; a retry of the run adds to them.

    ``number`` counts the tries of a step over all attempts of the run. It is the value of the parameter ``attempt`` of
    the step's log. An attempt that was withdrawn before it began is no try and has no number.
    """
    reads, zone, limit = call.deps.reads, call.deps.zone, query.limit
    if query.cursor and not (query.step_name and limit):
        raise bad_request("cursor: needs stepName and limit", field="cursor")
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    node = find_step(run, query.step_name) if query.step_name else None
    if node is None or limit is None:
        found = reads.attempts(run.run_key, None if node is None else node.idx, limit=limit)
        return ok({"attempts": attempts_json(found, zone)})
    before = read_cursor(query.cursor, _place) if query.cursor else None
    found = reads.attempts(run.run_key, node.idx, before=before, limit=limit + 1)
    shown = found[-limit:]
    at = shown[0].place if len(found) > limit else None
    cursor = at and write_cursor(at.run_attempt, at.number, at.dispatched_at.isoformat())
    return ok({"attempts": attempts_json(shown, zone), "nextCursor": cursor})


def _place(values: list[Any]) -> AttemptPlace | None:
    match values:
        case [int(run_attempt), int(number), str(at)] if max(abs(run_attempt), abs(number)) < _MOST_INT:
            return AttemptPlace(run_attempt, number, moment(at))
    return None
