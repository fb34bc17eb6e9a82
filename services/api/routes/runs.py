"""DAG-runs: listed, looked up, with the spec they were created from and what they put out."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import Field

from services.api.operations import Answer, Call, Operations, Query, json_bytes, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values, run_json
from services.api.run_details.node_reasons import run_details
from services.api.run_details.reasons import add_reasons
from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, RunRow

__all__ = ["RUNS", "find_run", "run_name"]

RUNS = Operations()
_RUN = "/dag-runs/{name}/{dagRunId}"
_MAX_UNIX = 253_402_300_799
"""The last second of the year 9999, where datetimes end."""
_PAGE, _MAX_PAGE = 100, 1000


class RunsQuery(Query):
    name: str | None = None
    dag_run_id: str = Field(default="", alias="dagRunId")
    status: int | None = None
    from_date: int | None = Field(default=None, alias="fromDate")
    to_date: int | None = Field(default=None, alias="toDate")
    cursor: str | None = Field(
        default=None, max_length=400, description="page through all runs; empty: from the newest"
    )
    limit: str = Field(
        default="",
        description="how many runs a page has; with cursor only",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": _MAX_PAGE, "default": _PAGE},
    )
    """Text: without a cursor it is none of the contract's parameters, and whatever stands in it is ignored."""


@RUNS.get("/dag-runs", id="listDAGRuns", query=RunsQuery)
def list_runs(call: Call, query: RunsQuery) -> Answer:
    """List the newest root runs that pass every filter."""
    return _list(call, query, query.name)


@RUNS.get("/dag-runs/{name}", id="listDAGRunsByName", query=RunsQuery)
def list_runs_of(call: Call, query: RunsQuery, name: str) -> Answer:
    """List the same for one dag name."""
    return _list(call, query, run_name(call, name))


@RUNS.get(_RUN, id="getDAGRunDetails")
def details(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return a run with its nodes."""
    return ok({"dagRunDetails": run_details(call, find_run(call, name, dag_run_id))})


@RUNS.get(f"{_RUN}/spec", id="getDAGRunSpec")
def spec(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return the text a run was created from."""
    spec_hash = find_run(call, name, dag_run_id).spec_hash
    return ok({"spec": call.deps.reads.specs([spec_hash]).get(spec_hash, "")})


@RUNS.get(f"{_RUN}/outputs", id="getDAGRunOutputs")
def outputs(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return what a run's steps put out."""
    run = find_run(call, name, dag_run_id)
    return ok(run_json.outputs(run, call.deps.run_models([run])[run.run_key]))


def find_run(call: Call, name: str, dag_run_id: str) -> RunRow:
    """Return a root run by name and id or ``latest``; raises a 404."""
    json_values.plain_name(dag_run_id, "dagRunId")
    run = call.deps.reads.run(run_name(call, name), dag_run_id)
    if run is None:
        raise not_found(f"DAG {name!r} has no run {dag_run_id!r}")
    return run


def run_name(call: Call, name: str) -> str:
    """Return the dag name that a path means; raises a 400.

    Clients take a list's ``fileName`` for it. Dagu's has no extension, and is the name of most dags.
    """
    stem = json_values.file_name(name, "name")
    if stem == name or call.deps.reads.run(name, json_values.LATEST):
        return name
    dag = call.deps.reads.dag(stem)
    return dag.dag_name if dag else stem


def _list(call: Call, query: RunsQuery, name: str | None) -> Answer:
    status = json_values.run_token(query.status) if query.status is not None else None
    if query.status is not None and status is None:
        return ok({"dagRuns": []})
    if "cursor" in call.arguments:
        return _page(call, query, name, status)
    key = (name, query.model_dump_json())
    return Answer(200, call.deps.combined.get(key, lambda: _newest(call, query, name, status)))


def _newest(call: Call, query: RunsQuery, name: str | None, status: RunStatus | None) -> bytes:
    listed = call.deps.reads.runs(
        dag_name=name,
        id_part=query.dag_run_id,
        status=status,
        created_from=_moment(query.from_date),
        created_before=_moment(query.to_date),
    )
    return b'{"dagRuns":[%s]}' % _summaries(call, listed)


def _summaries(call: Call, listed: Sequence[ListedRunRow]) -> bytes:
    def make(run_keys: Sequence[str]) -> Iterable[tuple[RunRow, bytes]]:
        runs = list(call.deps.reads.runs_by_key(run_keys).values())
        shapes = [run_json.summary(run, call.deps.zone) for run in runs]
        add_reasons(call, runs, shapes)
        return zip(runs, map(json_bytes, shapes), strict=True)

    return call.deps.summaries.json(listed, make)


def _page(call: Call, query: RunsQuery, name: str | None, status: RunStatus | None) -> Answer:
    """Return a page and the cursor of the next one: an addition to the contract, without its other filters."""
    if query.dag_run_id or query.from_date is not None or query.to_date is not None:
        raise bad_request("cursor: goes with name and status only", field="cursor")
    limit = _page_size(query.limit)
    behind = _read_cursor(query.cursor) if query.cursor else None
    listed = call.deps.reads.runs(dag_name=name, status=status, behind=behind, limit=limit + 1)
    shown = listed[:limit]
    cursor = json_bytes(_cursor(shown[-1]) if len(listed) > limit else None)
    return Answer(200, b'{"dagRuns":[%s],"nextCursor":%s}' % (_summaries(call, shown), cursor))


def _page_size(text: str) -> int:
    if not text:
        return _PAGE
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_PAGE)) and 1 <= int(text) <= _MAX_PAGE):
        raise bad_request(f"limit: must be a whole number from 1 to {_MAX_PAGE}", field="limit")
    return int(text)


def _cursor(run: ListedRunRow) -> str:
    text = f"{run.created_at.isoformat()} {run.dag_run_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(text: str) -> ListedRunRow:
    try:
        at, _, run_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        moment = datetime.fromisoformat(at)
    except (ValueError, binascii.Error) as error:
        raise bad_request("cursor: must be one that a page gave", field="cursor") from error
    if moment.tzinfo is None or "\0" in run_id:
        raise bad_request("cursor: must be one that a page gave", field="cursor")
    return ListedRunRow("", 0, moment, run_id)


def _moment(unix_s: int | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(max(0, min(unix_s, _MAX_UNIX)), UTC)
