"""DAG-runs: listed, looked up, with the spec they were created from and what they put out."""

from datetime import UTC, datetime

from pydantic import Field

from services.api import shapes_runs, wire
from services.api.operations import Answer, Call, Operations, Query, ok
from services.api.problems import not_found
from shared.store.reads import Run

__all__ = ["RUNS", "find_run"]

RUNS = Operations()
_RUN = "/dag-runs/{name}/{dagRunId}"
_MAX_UNIX = 253_402_300_799
"""The last second of the year 9999, where datetimes end."""


class RunsQuery(Query):
    name: str | None = None
    dag_run_id: str = Field(default="", alias="dagRunId")
    status: int | None = None
    from_date: int | None = Field(default=None, alias="fromDate")
    to_date: int | None = Field(default=None, alias="toDate")


@RUNS.get("/dag-runs", id="listDAGRuns", query=RunsQuery)
def list_runs(call: Call, query: RunsQuery) -> Answer:
    """List the newest root runs that pass every filter."""
    return _list(call, query, query.name)


@RUNS.get("/dag-runs/{name}", id="listDAGRunsByName", query=RunsQuery)
def list_runs_of(call: Call, query: RunsQuery, name: str) -> Answer:
    """List the same for one dag name."""
    return _list(call, query, wire.plain_name(name, "name"))


@RUNS.get(_RUN, id="getDAGRunDetails")
def details(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return a run with its nodes."""
    run = find_run(call, name, dag_run_id)
    return ok({"dagRunDetails": shapes_runs.details(run, call.deps.run_models([run])[run.run_key], call.deps.zone)})


@RUNS.get(f"{_RUN}/spec", id="getDAGRunSpec")
def spec(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return the text a run was created from."""
    return ok({"spec": find_run(call, name, dag_run_id).spec or ""})


@RUNS.get(f"{_RUN}/outputs", id="getDAGRunOutputs")
def outputs(call: Call, name: str, dag_run_id: str) -> Answer:
    """Return what a run's steps put out."""
    run = find_run(call, name, dag_run_id)
    return ok(shapes_runs.outputs(run, call.deps.run_models([run])[run.run_key]))


def find_run(call: Call, name: str, dag_run_id: str) -> Run:
    """Return a root run by name and id or ``latest``; raises a 404."""
    wire.plain_name(name, "name")
    wire.plain_name(dag_run_id, "dagRunId")
    run = call.deps.reads.run(name, dag_run_id)
    if run is None:
        raise not_found(f"DAG {name!r} has no run {dag_run_id!r}")
    return run


def _list(call: Call, query: RunsQuery, name: str | None) -> Answer:
    status = wire.run_token(query.status) if query.status is not None else None
    if query.status is not None and status is None:
        return ok({"dagRuns": []})
    runs = call.deps.reads.runs(
        dag_name=name,
        id_part=query.dag_run_id,
        status=status,
        created_from=_moment(query.from_date),
        created_before=_moment(query.to_date),
    )
    return ok({"dagRuns": [shapes_runs.summary(run, call.deps.zone) for run in runs]})


def _moment(unix_s: int | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(max(0, min(unix_s, _MAX_UNIX)), UTC)
