"""Carry out what people say about steps that wait for them."""

from typing import Any

from services.scheduler.commands.checks import find, find_below, tell_key
from services.scheduler.core.approvals import waits
from services.scheduler.core.messages import Approve, Reject
from services.scheduler.deciding.batch import Batch
from shared.contracts.commands.approvals import ApprovalCommand, ApproveStep, RejectStep
from shared.errors import InvalidInput

__all__ = ["carry_out_approval"]


def carry_out_approval(batch: Batch, command: ApprovalCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    key = find(batch, command.dag_name, command.dag_run_id)
    if command.sub_run_id:
        key = find_below(batch, key, command.sub_run_id)
    match command:
        case ApproveStep():
            tell_key(batch, key, Approve(command.step_name, command.inputs, command.by, command.user))
        case RejectStep():
            tell_key(batch, key, Reject(command.step_name, command.reason, command.by, command.user))
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about approvals")
    run = batch.runs.get(key)
    assert run is not None  # noqa: S101 - it was told something just now
    done = {"dagRunId": run.dag_run_id, "stepName": command.step_name}
    if isinstance(command, RejectStep):
        return done
    return done | {"resumed": run.status.active and not any(waits(node) for node in run.steps)}
