"""Sub runs: addressed flat under their root, whatever their depth."""

from typing import Any

from pydantic import Field

from services.api.operations import Answer, Call, Operations, Query, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.representations.dag_json import sparse
from services.api.routes.control import StatusBody, empty_answer, node_token
from services.api.routes.logs import LogQuery, StepLogQuery, log_of_run, log_of_step
from services.api.routes.runs import find_run, run_name
from services.api.run_details.called_runs import called
from services.api.run_details.node_reasons import run_details
from shared.contracts.commands.runs import PatchSubStep
from shared.store.reads.reader import RunRow

__all__ = ["SUB_RUNS"]

SUB_RUNS = Operations()
_SUBS = "/dag-runs/{name}/{dagRunId}/sub-dag-runs"
_SUB = f"{_SUBS}/{{subDAGRunId}}"


class SubRunsQuery(Query):
    parent: str = Field(default="", alias="parentSubDAGRunId", description="list the sub runs of this sub run")


@SUB_RUNS.get(_SUBS, id="getSubDAGRuns", query=SubRunsQuery)
def sub_runs(call: Call, query: SubRunsQuery, name: str, dag_run_id: str) -> Answer:
    """List the sub runs of a run, or of one of its sub runs."""
    root = find_run(call, name, dag_run_id)
    parent = _find(call, root, query.parent) if query.parent else root
    found = call.deps.reads.sub_runs(root.run_key, parent.run_key)
    params = dict(called(call, parent))
    places = {run_id: place for place, run_id in enumerate(params)}
    shown = sorted(found, key=lambda run: places.get(run.dag_run_id, len(places)))
    return ok({"subRuns": [_detail(call, each, params.get(each.dag_run_id, "")) for each in shown]})


@SUB_RUNS.get(_SUB, id="getSubDAGRunDetails")
def details(call: Call, name: str, dag_run_id: str, sub_dag_run_id: str) -> Answer:
    """Return a sub run with its nodes."""
    run = _find(call, find_run(call, name, dag_run_id), sub_dag_run_id)
    return ok({"dagRunDetails": run_details(call, run)})


@SUB_RUNS.get(f"{_SUB}/log", id="getSubDAGRunLog", query=LogQuery)
def run_log(call: Call, query: LogQuery, name: str, dag_run_id: str, sub_dag_run_id: str) -> Answer:
    """Return what happened to a sub run, a line for each change."""
    return log_of_run(call, query, _find(call, find_run(call, name, dag_run_id), sub_dag_run_id))


@SUB_RUNS.get(f"{_SUB}/steps/{{stepName}}/log", id="getSubDAGRunStepLog", query=StepLogQuery)
def step_log(
    call: Call, query: StepLogQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str
) -> Answer:
    """Return what a step of a sub run wrote."""
    return log_of_step(call, query, _find(call, find_run(call, name, dag_run_id), sub_dag_run_id), step_name)


@SUB_RUNS.patch(
    f"{_SUB}/steps/{{stepName}}/status",
    id="updateSubDAGRunStepStatus",
    role="operator",
    permission="run_dags",
    body=StatusBody,
)
def patch_step(
    call: Call, body: StatusBody, *, name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str
) -> Answer:
    """Set one step's status in a sub run by hand; nothing else changes."""
    command = PatchSubStep(
        by=call.user,
        dag_name=run_name(call, name),
        dag_run_id=json_values.known_run_id(dag_run_id),
        sub_run_id=json_values.known_run_id(sub_dag_run_id, "subDAGRunId"),
        step_name=step_name,
        status=node_token(body.status),
    )
    return empty_answer(call, command)


def _find(call: Call, root: RunRow, sub_run_id: str) -> RunRow:
    json_values.plain_name(sub_run_id, "subDAGRunId")
    found = call.deps.reads.sub_run(root.root_key, sub_run_id)
    if found is None:
        raise not_found(f"Run {root.dag_run_id!r} has no sub run {sub_run_id!r}")
    return found


def _detail(call: Call, run: RunRow, params: str) -> dict[str, Any]:
    return {
        "dagRunId": run.dag_run_id,
        **sparse(params=params),
        "name": run.dag_name,
        "status": json_values.run_status(run.status),
        "statusLabel": run.status.value,
        "startedAt": json_values.timestamp(run.started_at, call.deps.zone),
        "finishedAt": json_values.timestamp(run.finished_at, call.deps.zone),
    }
