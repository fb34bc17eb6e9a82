"""Commands about steps that wait for approval, in a root run or in a sub-run."""

from pydantic import Field

from shared.contracts.commands.base import RunChange

__all__ = ["ApprovalCommand", "ApproveStep", "RejectStep"]


class ApprovalCommand(RunChange):
    """Base of ``ApproveStep`` and ``RejectStep``. ``sub_run_id`` is empty for a step of the root run."""

    sub_run_id: str = ""
    step_name: str
    user: str = ""
    """The name of the user who decides, which is stored with the step. Empty without authentication."""


class ApproveStep(ApprovalCommand):
    """Approve a step. Refused if a required input is missing, or an input is given that the step does not declare."""

    type = "run.approve_step"
    inputs: dict[str, str] = Field(default_factory=dict)


class RejectStep(ApprovalCommand):
    """Reject a step and fail its run."""

    type = "run.reject_step"
    reason: str = ""
