"""Routes that list and read DAG runs, their specs and their outputs."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, json_bytes, ok
from services.api.problems import bad_request
from services.api.representations import json_values, run_json
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.requests.workspace_names import stored
from services.api.response_schemas.runs import (
    ListRunsResponseSchema,
    OutputsResponseSchema,
    RunResponseSchema,
    RunSpecResponseSchema,
)
from services.api.run_details.builder import run_summaries
from services.api.run_details.encoded import encoded_details
from services.api.run_details.lookup import RUN, find_run, run_name
from services.api.run_details.specs import dags_of_runs
from shared.language.snapshot import parse_snapshot
from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, RunRow

__all__ = ["RUNS"]

RUNS = Operations()
_MAX_UNIX = 253_402_300_799
"""The last second of the year 9999, the largest ``datetime``."""
_PAGE, _MAX_PAGE = 100, 1000
_WHOLE_ID = 16
"""From how many characters on a text is so rarely part of anything else that it is taken for a run id, if it is one."""


class RunsQuery(Query):
    name: str | None = Field(default=None, description="only runs of the DAG with this name")
    dag_run_id: str = Field(default="", alias="dagRunId", description="part of the run id")
    search: str = Field(
        default="",
        max_length=200,
        description="part of the DAG's name or of the run id, in upper or lower case: an addition. If a page has "
        "searchedBackTo, only the runs since that time were searched; request nextCursor to search older ones. Without "
        "cursor only the newest 20,000 runs are searched. A whole run id of 16 or more characters is found at once",
    )
    tag: str = Field(default="", max_length=200, description="only runs of DAGs with this tag: an addition")
    started_by: str = Field(
        default="", alias="startedBy", max_length=200, description="only runs with this startedBy: an addition"
    )
    status: int | None = None
    from_date: int | None = Field(default=None, alias="fromDate")
    to_date: int | None = Field(default=None, alias="toDate")
    cursor: str | None = Field(
        default=None,
        max_length=400,
        description="page of runs: empty for the first, then nextCursor of the previous one",
    )
    limit: str = Field(
        default="",
        description="maximum number of runs on a page; ignored without cursor",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": _MAX_PAGE, "default": _PAGE},
    )
    """A string, because Dagu's API has no ``limit``: without a cursor, any value must be ignored."""


@RUNS.get("/dag-runs", id="listDAGRuns", response=ListRunsResponseSchema)
def list_runs(call: Call, query: RunsQuery) -> ApiResponse:
    """List the newest runs that match all filters, without sub-runs: at most 1000, or a page with ``cursor``."""
    return _list(call, query, stored(query.name, "name") if query.name else None)


@RUNS.get("/dag-runs/{name}", id="listDAGRunsByName", response=ListRunsResponseSchema)
def list_runs_of(call: Call, query: RunsQuery, name: str) -> ApiResponse:
    """List a DAG's newest runs that match all filters, without sub-runs: at most 1000, or a page with ``cursor``."""
    return _list(call, query, run_name(call.deps, name))


@RUNS.get(RUN, id="getDAGRunDetails", response=RunResponseSchema)
def details(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Return one run with its nodes."""
    return ApiResponse(200, b'{"dagRunDetails":%s}' % encoded_details(call.deps, name, dag_run_id, call.now))


@RUNS.get(f"{RUN}/spec", id="getDAGRunSpec", response=RunSpecResponseSchema)
def spec(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Return the spec that a run was created from, without the base configuration."""
    spec_hash = find_run(call.deps, name, dag_run_id).spec_hash
    text = call.deps.reads.specs([spec_hash]).get(spec_hash, "")
    return ok({"spec": parse_snapshot(text).text})


@RUNS.get(f"{RUN}/outputs", id="getDAGRunOutputs", response=OutputsResponseSchema)
def outputs(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Return the output variables that the steps of a run have set."""
    run = find_run(call.deps, name, dag_run_id)
    return ok(run_json.outputs(run, dags_of_runs(call.deps, [run])[run.run_key], call.deps.zone))


def _list(call: Call, query: RunsQuery, name: str | None) -> ApiResponse:
    status = json_values.run_label(query.status) if query.status is not None else None
    if query.status is not None and status is None:
        return ok({"dagRuns": []})
    if "cursor" in call.arguments:
        return _page(call, query, name, status)
    key = (name, query.model_dump_json())
    return ApiResponse(200, call.deps.single_flight.get(key, lambda: _newest(call, query, name, status)))


def _newest(call: Call, query: RunsQuery, name: str | None, status: RunStatus | None) -> bytes:
    since, until = _moment(query.from_date), _moment(query.to_date)
    end = None
    if _searches(query):
        end = call.deps.reads.search_end(dag_name=name, status=status, created_from=since, created_before=until)
    listed = _by_whole_id(call, query, name, status) or call.deps.reads.runs(
        dag_name=name,
        id_part=query.dag_run_id,
        search=query.search,
        tag=query.tag,
        started_by=query.started_by,
        status=status,
        created_from=since,
        created_before=until,
        down_to=end,
    )
    return b'{"dagRuns":[%s]}' % _summaries(call, listed)


def _searches(query: RunsQuery) -> bool:
    """Return whether a filter is set that no index serves."""
    return bool(query.search or query.tag or query.started_by)


def _by_whole_id(call: Call, query: RunsQuery, name: str | None, status: RunStatus | None) -> tuple[ListedRunRow, ...]:
    """Return the runs of which the text searched for is the whole id, which an index finds in the whole history."""
    if len(query.search) < _WHOLE_ID or query.dag_run_id:
        return ()
    return call.deps.reads.runs(
        dag_name=name,
        run_id=query.search,
        tag=query.tag,
        started_by=query.started_by,
        status=status,
        created_from=_moment(query.from_date),
        created_before=_moment(query.to_date),
    )


def _summaries(call: Call, listed: Sequence[ListedRunRow]) -> bytes:
    def make(run_keys: Sequence[str]) -> Iterable[tuple[RunRow, bytes]]:
        runs = list(call.deps.reads.runs_by_key(run_keys).values())
        return zip(runs, map(json_bytes, run_summaries(call.deps, runs, call.now)), strict=True)

    return call.deps.summaries.json(listed, make)


def _page(call: Call, query: RunsQuery, name: str | None, status: RunStatus | None) -> ApiResponse:
    """Return a page of runs and the cursor of the next page: an addition to Dagu's API."""
    if query.dag_run_id or query.from_date is not None or query.to_date is not None:
        raise bad_request("cursor: cannot be combined with dagRunId, fromDate or toDate", field="cursor")
    limit = _page_size(query.limit)
    behind = read_cursor(query.cursor, _place) if query.cursor else None
    if behind is None and (whole := _by_whole_id(call, query, name, status)):
        return ApiResponse(200, b'{"dagRuns":[%s],"nextCursor":null}' % _summaries(call, whole))
    end = call.deps.reads.search_end(dag_name=name, status=status, behind=behind) if _searches(query) else None
    listed = call.deps.reads.runs(
        dag_name=name,
        search=query.search,
        tag=query.tag,
        started_by=query.started_by,
        status=status,
        behind=behind,
        down_to=end,
        limit=limit + 1,
    )
    shown = listed[:limit]
    last = shown[-1] if len(listed) > limit else end
    told = b"" if last is None or last is not end else b',"searchedBackTo":%s' % _time(call, last)
    cursor = json_bytes(
        None if last is None else write_cursor(last.created_at.isoformat(), last.dag_run_id, last.run_key)
    )
    return ApiResponse(200, b'{"dagRuns":[%s],"nextCursor":%s%s}' % (_summaries(call, shown), cursor, told))


def _time(call: Call, run: ListedRunRow) -> bytes:
    return json_bytes(json_values.timestamp(run.created_at, call.deps.zone))


def _page_size(text: str) -> int:
    if not text:
        return _PAGE
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_PAGE)) and 1 <= int(text) <= _MAX_PAGE):
        raise bad_request(f"limit: must be a whole number from 1 to {_MAX_PAGE}", field="limit")
    return int(text)


def _place(values: list[Any]) -> ListedRunRow | None:
    match values:
        case [str(at), str(run_id), str(run_key)]:
            return ListedRunRow(run_key, 0, moment(at), run_id)
    return None


def _moment(unix_s: int | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(max(0, min(unix_s, _MAX_UNIX)), UTC)
