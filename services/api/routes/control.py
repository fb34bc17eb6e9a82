"""Change runs: stop, retry, dequeue or delete a run, or set the status of a step.

The gateway checks the form of a request; the scheduler checks whether the run's state allows it.
"""

from typing import Any

from pydantic import Field

from services.api.bulk_outcomes import bulk_outcomes
from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import Problem, bad_request
from services.api.requests import checked_values
from services.api.response_schemas.dags import ErrorsResponseSchema
from services.api.run_details.lookup import RUN, SUB_RUN, find_dag, run_name
from shared.contracts.commands import DequeueRun, PatchStep, RetryRun, StopRun
from shared.contracts.commands.runs import PatchSubStep, RemoveRun
from shared.status import NODE_LABELS

__all__ = ["CONTROL"]

CONTROL = Operations()


class RetryBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId", description="empty: the run in the path")
    step_name: str = Field(default="", alias="stepName", description="retry this step only; empty: all that must run")


class StatusBody(Body):
    """``status`` is the number of the new status of the step."""

    status: int = Field(description=", ".join(f"{number} {label}" for number, label in enumerate(NODE_LABELS)))


@CONTROL.post(
    "/dags/{fileName}/stop-all",
    id="stopAllDAGRuns",
    role="operator",
    permission="run_dags",
    response=ErrorsResponseSchema,
)
def stop_all(call: Call, file_name: str) -> ApiResponse:
    """Stop all running runs of a DAG. A run that ends before it can be stopped is not an error."""
    found = find_dag(call.deps, file_name)
    running = call.deps.reads.running_run_ids(found.dag_name)
    commands = [StopRun(by=call.user, dag_name=found.dag_name, dag_run_id=each) for each in running]
    errors = [
        f"{run_id}: {outcome.message}"
        for run_id, outcome in zip(running, bulk_outcomes(call, running, commands), strict=True)
        if isinstance(outcome, Problem) and outcome.code not in {"not_running", "not_found"}
    ]
    return ok({"errors": errors})


@CONTROL.post(f"{RUN}/stop", id="terminateDAGRun", role="operator", permission="run_dags")
def stop(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Stop a running run. The response does not wait until the run has ended as ``aborted``."""
    return call.carry_out(StopRun(**_run(call, name, dag_run_id)))


@CONTROL.post(f"{RUN}/retry", id="retryDAGRun", role="operator", permission="run_dags", body_required=False)
def retry(call: Call, body: RetryBody, name: str, dag_run_id: str) -> ApiResponse:
    """Retry the steps of a run that did not succeed, and all that depend on them: the same run goes on.

    Steps that succeeded keep their results. If the body names another run of the DAG, that one is retried. If the body
    names a run that does not exist, a new run with this id begins with the spec, the parameters and the results of the
    run in the path.
    """
    command = RetryRun(
        **_run(call, name, dag_run_id),
        new_run_id=checked_values.run_id(body.dag_run_id) if body.dag_run_id else "",
        step_name=body.step_name or None,
    )
    return call.carry_out(command)


@CONTROL.delete(RUN, id="deleteDAGRun", role="manager", permission="write_dags", status=204)
def remove(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Delete a run that has ended, with its sub-runs and logs."""
    if dag_run_id == checked_values.LATEST:
        raise bad_request(
            "dagRunId: must be the id of a run; 'latest' may be another run by the time it is deleted", field="dagRunId"
        )
    return call.carry_out(RemoveRun(**_run(call, name, dag_run_id)))


@CONTROL.get(f"{RUN}/dequeue", id="dequeueDAGRun", role="operator", permission="run_dags")
@CONTROL.post(f"{RUN}/dequeue", id="dequeueDAGRunByPost", role="operator", permission="run_dags")
def dequeue(call: Call, name: str, dag_run_id: str) -> ApiResponse:
    """Remove a queued run from its queue.

    A run that never started is deleted; a queued retry ends as ``aborted``. Dagu's API defines this write as a GET; a
    POST to the same path does the same.
    """
    return call.carry_out(DequeueRun(**_run(call, name, dag_run_id)))


@CONTROL.patch(f"{RUN}/steps/{{stepName}}/status", id="updateDAGRunStepStatus", role="operator", permission="run_dags")
def patch_step(call: Call, body: StatusBody, name: str, dag_run_id: str, step_name: str) -> ApiResponse:
    """Set the status of one step by hand. Starts and stops nothing; the run must not be running."""
    command = PatchStep(
        **_run(call, name, dag_run_id), step_name=step_name, status=checked_values.chosen_node_status(body.status)
    )
    return call.carry_out(command)


@CONTROL.patch(
    f"{SUB_RUN}/steps/{{stepName}}/status",
    id="updateSubDAGRunStepStatus",
    role="operator",
    permission="run_dags",
)
def patch_sub_step(
    call: Call, body: StatusBody, *, name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str
) -> ApiResponse:
    """Set the status of one step of a sub-run by hand. Starts and stops nothing."""
    command = PatchSubStep(
        **_run(call, name, dag_run_id),
        sub_run_id=checked_values.known_run_id(sub_dag_run_id, "subDAGRunId"),
        step_name=step_name,
        status=checked_values.chosen_node_status(body.status),
    )
    return call.carry_out(command)


def _run(call: Call, name: str, dag_run_id: str) -> dict[str, Any]:
    return {
        "by": call.user,
        "dag_name": run_name(call.deps, name),
        "dag_run_id": checked_values.known_run_id(dag_run_id),
    }
