"""Commands about runs beyond those of a stored dag: inline ones, runs made anew, steps of sub runs."""

from typing import Literal

from shared.contracts.commands import Command

__all__ = ["PatchSubStep", "RescheduleRun", "RunCommand", "StartInline"]


class RunCommand(Command):
    """What these have in common: they change runs and no definition."""


class StartInline(RunCommand):
    """Create a run from a text that is stored nowhere else, and start or queue it.

    ``dag_name`` goes before the text's own name; one of them must be there.
    """

    type = "run.start_inline"
    spec: str
    dag_run_id: str
    dag_name: str | None = None
    params: str = ""
    singleton: bool = False
    queued: bool = False
    queue: str | None = None
    priority: Literal["low", "high"] = "low"


class RescheduleRun(RunCommand):
    """Create a new run from another one's spec and params as they were, with nothing carried over."""

    type = "run.reschedule"
    dag_name: str
    dag_run_id: str
    new_run_id: str
    new_dag_name: str | None = None
    singleton: bool = False


class PatchSubStep(RunCommand):
    """Set one node's status in a sub run, which is named under its root."""

    type = "run.patch_sub_step"
    dag_name: str
    dag_run_id: str
    sub_run_id: str
    step_name: str
    status: str
    """A ``NodeStatus`` token."""
