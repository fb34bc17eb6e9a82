"""Commands about steps that wait for approval, of a root run or of one below it."""

from pydantic import Field

from shared.contracts.commands import Command

__all__ = ["ApprovalCommand", "ApproveStep", "RejectStep"]


class ApprovalCommand(Command):
    """What both have in common. ``sub_run_id`` empty: the step is the root run's own."""

    dag_name: str
    dag_run_id: str
    sub_run_id: str = ""
    step_name: str
    user: str = ""
    """Who asked, for the step's record; empty where they did not have to say who they are."""


class ApproveStep(ApprovalCommand):
    """Let a step be done; refused without what it requires, or with what it did not ask for."""

    type = "run.approve_step"
    inputs: dict[str, str] = Field(default_factory=dict)


class RejectStep(ApprovalCommand):
    """Forbid a step, which rejects its run."""

    type = "run.reject_step"
    reason: str = ""
