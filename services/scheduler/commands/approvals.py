"""Handlers of the commands about steps that wait for approval."""

from typing import Any

from services.scheduler.commands.checks import apply_to_run, find_run, find_sub_run
from services.scheduler.commands.handler import Handlers
from services.scheduler.core.approvals import waits
from services.scheduler.core.messages import Approve, Reject
from services.scheduler.core.model import Run
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c

__all__ = ["HANDLERS"]


def _approve(batch: Batch, command: c.ApproveStep) -> dict[str, Any]:
    approve = Approve(command.step_name, command.inputs, command.by, command.user)
    asking = _find(batch, command)
    run = apply_to_run(batch, asking, approve)
    # A sub-run goes on at once, and has ended already if this was its last step.
    goes_on = asking.status.active or run.status.active
    resumed = goes_on and not any(waits(node) for node in run.steps)
    return {"dagRunId": run.dag_run_id, "stepName": command.step_name, "resumed": resumed}


def _reject(batch: Batch, command: c.RejectStep) -> dict[str, Any]:
    reject = Reject(command.step_name, command.reason, command.by, command.user)
    run = apply_to_run(batch, _find(batch, command), reject)
    return {"dagRunId": run.dag_run_id, "stepName": command.step_name}


def _find(batch: Batch, command: c.ApprovalCommand) -> Run:
    run = find_run(batch, command.dag_name, command.dag_run_id)
    return find_sub_run(batch, run, command.sub_run_id) if command.sub_run_id else run


HANDLERS: Handlers = {
    c.ApproveStep: _approve,
    c.RejectStep: _reject,
}
