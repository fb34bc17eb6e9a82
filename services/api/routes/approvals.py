"""A person's word on steps that wait for it, in a run or in a run below it (REST contract section 5.8)."""

from typing import Any

from pydantic import Field, field_validator

from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, ok
from services.api.representations import json_values
from services.api.routes.runs import run_name
from shared.contracts.commands.approvals import ApprovalCommand, ApproveStep, RejectStep

__all__ = ["APPROVALS"]

APPROVALS = Operations()
_RUN = "/dag-runs/{name}/{dagRunId}"
_STEP = f"{_RUN}/steps/{{stepName}}"
_SUB_STEP = f"{_RUN}/sub-dag-runs/{{subDAGRunId}}/steps/{{stepName}}"
_MAX_REASON_CHARS = 4_000
_MAX_INPUT_CHARS = 65_536


class ApproveBody(Body):
    """Values for what the step's ``config.input`` asks for."""

    inputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("inputs")
    @classmethod
    def _fit_for_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if "\0" in name or "\0" in text:
                raise ValueError("a NUL character cannot be part of it")
            if len(text) > _MAX_INPUT_CHARS:
                raise ValueError(f"{name[:40]} is longer than {_MAX_INPUT_CHARS} characters")
        return value


class RejectBody(Body):
    reason: str = Field(default="", max_length=_MAX_REASON_CHARS)

    @field_validator("reason")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a NUL character cannot be part of it")
        return value


@APPROVALS.post(
    f"{_STEP}/approve",
    id="approveDAGRunStep",
    role="operator",
    permission="run_dags",
    body=ApproveBody,
    body_required=False,
)
def approve(call: Call, body: ApproveBody, name: str, dag_run_id: str, step_name: str) -> Answer:
    """Let a waiting step be done; ``resumed`` tells whether the run goes on, or waits for other steps."""
    return _answer(call, ApproveStep(inputs=body.inputs, **_about(call, name, dag_run_id, step_name)))


@APPROVALS.post(
    f"{_STEP}/reject",
    id="rejectDAGRunStep",
    role="operator",
    permission="run_dags",
    body=RejectBody,
    body_required=False,
)
def reject(call: Call, body: RejectBody, name: str, dag_run_id: str, step_name: str) -> Answer:
    """Forbid a waiting step, and thereby its run."""
    return _answer(call, RejectStep(reason=body.reason, **_about(call, name, dag_run_id, step_name)))


@APPROVALS.post(
    f"{_SUB_STEP}/approve",
    id="approveSubDAGRunStep",
    role="operator",
    permission="run_dags",
    body=ApproveBody,
    body_required=False,
)
def approve_below(
    call: Call, body: ApproveBody, *, name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str
) -> Answer:
    """Let a waiting step of a sub run be done; the runs above go on with it."""
    return _answer(call, ApproveStep(inputs=body.inputs, **_about(call, name, dag_run_id, step_name, sub_dag_run_id)))


@APPROVALS.post(
    f"{_SUB_STEP}/reject",
    id="rejectSubDAGRunStep",
    role="operator",
    permission="run_dags",
    body=RejectBody,
    body_required=False,
)
def reject_below(
    call: Call, body: RejectBody, *, name: str, dag_run_id: str, sub_dag_run_id: str, step_name: str
) -> Answer:
    """Forbid a waiting step of a sub run, and thereby that run; the step that called it fails."""
    return _answer(call, RejectStep(reason=body.reason, **_about(call, name, dag_run_id, step_name, sub_dag_run_id)))


def _about(call: Call, name: str, dag_run_id: str, step_name: str, sub_run_id: str = "") -> dict[str, Any]:
    return {
        "by": call.user,
        "user": call.principal.username,
        "dag_name": run_name(call, name),
        "dag_run_id": json_values.known_run_id(dag_run_id),
        "sub_run_id": json_values.known_run_id(sub_run_id, "subDAGRunId") if sub_run_id else "",
        "step_name": step_name,
    }


def _answer(call: Call, command: ApprovalCommand) -> Answer:
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id})
    return ok(outcome.result)
