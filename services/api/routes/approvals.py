"""Approve or reject steps that wait for approval, in a run or in its sub-runs (as in Dagu's REST API v2)."""

from functools import partial
from typing import Any

from pydantic import Field, field_validator

from services.api.operations import ApiResponse, Body, Call, Operations, Storable
from services.api.requests import checked_values
from services.api.run_details.lookup import RUN, SUB_RUN, run_name
from shared.contracts.commands.approvals import ApproveStep, RejectStep

__all__ = ["APPROVALS"]

APPROVALS = Operations()
_deciding = partial(APPROVALS.post, role="operator", permission="run_dags", body_required=False)
_STEP = f"{RUN}/steps/{{stepName}}"
_SUB_STEP = f"{SUB_RUN}/steps/{{stepName}}"
_MAX_REASON_CHARS = 4_000
_MAX_INPUT_CHARS = 65_536


class ApproveBody(Body):
    """``inputs``: values of the variables that the step's ``config.input`` names."""

    inputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("inputs")
    @classmethod
    def _fit_for_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if "\0" in name or "\0" in text:
                raise ValueError(f"the name or value of {name[:40]!r} must not contain a NUL character")
            if len(text) > _MAX_INPUT_CHARS:
                raise ValueError(f"the value of {name[:40]} is longer than {_MAX_INPUT_CHARS} characters")
        return value


class RejectBody(Body):
    reason: Storable = Field(default="", max_length=_MAX_REASON_CHARS)


@_deciding(
    f"{_SUB_STEP}/approve",
    id="approveSubDAGRunStep",
    text="In a sub-run, approve a step that waits for approval. When no step of the sub-run waits for approval any "
    "more, the sub-run and the runs that called it continue.",
)
@_deciding(f"{_STEP}/approve", id="approveDAGRunStep")
def approve(
    call: Call, body: ApproveBody, *, name: str, dag_run_id: str, sub_dag_run_id: str = "", step_name: str
) -> ApiResponse:
    """Approve a step that waits for approval. ``resumed`` is false while other steps of its run still wait."""
    about = _about(call, name, dag_run_id, sub_dag_run_id)
    return call.carry_out(ApproveStep(**about, step_name=step_name, inputs=body.inputs), then=dict)


@_deciding(
    f"{_SUB_STEP}/reject",
    id="rejectSubDAGRunStep",
    text="In a sub-run, reject a step that waits for approval. The sub-run ends as ``rejected``, and the step that "
    "called the sub-run fails.",
)
@_deciding(f"{_STEP}/reject", id="rejectDAGRunStep")
def reject(
    call: Call, body: RejectBody, *, name: str, dag_run_id: str, sub_dag_run_id: str = "", step_name: str
) -> ApiResponse:
    """Reject a step that waits for approval and end its run as ``rejected``."""
    about = _about(call, name, dag_run_id, sub_dag_run_id)
    return call.carry_out(RejectStep(**about, step_name=step_name, reason=body.reason), then=dict)


def _about(call: Call, name: str, dag_run_id: str, sub_run_id: str) -> dict[str, Any]:
    return {
        "by": call.user,
        "user": call.principal.username,
        "dag_name": run_name(call.deps, name),
        "dag_run_id": checked_values.known_run_id(dag_run_id),
        "sub_run_id": checked_values.known_run_id(sub_run_id, "subDAGRunId") if sub_run_id else "",
    }
