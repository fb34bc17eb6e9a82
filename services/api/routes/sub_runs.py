"""Sub-runs. A path names the root run and the sub-run, however deep the sub-run is nested."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.representations import json_values
from services.api.representations.json_values import sparse
from services.api.response_schemas.runs import ListSubRunsResponseSchema, RunResponseSchema
from services.api.run_details.builder import run_details
from services.api.run_details.called_runs import called_runs
from services.api.run_details.lookup import RUN, SUB_RUN, find_run, sub_run_of
from shared.store.reads.reader import RunRow

__all__ = ["SUB_RUNS"]

SUB_RUNS = Operations()


class SubRunsQuery(Query):
    parent: str = Field(default="", alias="parentSubDAGRunId", description="id of a sub-run: list its sub-runs")


@SUB_RUNS.get(f"{RUN}/sub-dag-runs", id="getSubDAGRuns", response=ListSubRunsResponseSchema)
def sub_runs(call: Call, query: SubRunsQuery, name: str, dag_run_id: str) -> ApiResponse:
    """List the sub-runs that a run called, or that one of its sub-runs called."""
    root = find_run(call.deps, name, dag_run_id)
    parent = sub_run_of(call.deps, root, query.parent) if query.parent else root
    found = call.deps.reads.sub_runs(root.run_key, parent.run_key)
    params = dict(called_runs(call.deps.reads, parent))
    places = {run_id: place for place, run_id in enumerate(params)}
    shown = sorted(found, key=lambda run: places.get(run.dag_run_id, len(places)))
    return ok({"subRuns": [_detail(call, each, params.get(each.dag_run_id, "")) for each in shown]})


@SUB_RUNS.get(SUB_RUN, id="getSubDAGRunDetails", response=RunResponseSchema)
def details(call: Call, name: str, dag_run_id: str, sub_dag_run_id: str) -> ApiResponse:
    """Return one sub-run with its nodes."""
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    return ok({"dagRunDetails": run_details(call.deps, run, call.now)})


def _detail(call: Call, run: RunRow, params: str) -> dict[str, Any]:
    return {
        "dagRunId": run.dag_run_id,
        **sparse(params=params),
        "name": run.dag_name,
        "status": json_values.run_status(run.status),
        "statusLabel": run.status.value,
        "startedAt": json_values.timestamp(run.started_at, call.deps.zone),
        "finishedAt": json_values.timestamp(run.finished_at, call.deps.zone),
        **sparse(durationMs=json_values.duration_ms(run.started_at, run.finished_at)),
    }
