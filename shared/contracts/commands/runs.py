"""Commands about runs: start, enqueue, stop, dequeue, retry, reschedule, and setting a node's status."""

from typing import Literal

from shared.contracts.commands.base import Command, RunChange

__all__ = [
    "DequeueRun",
    "EnqueueRun",
    "PatchStep",
    "PatchSubStep",
    "Priority",
    "RemoveRun",
    "RescheduleRun",
    "RetryRun",
    "StartInline",
    "StartRun",
    "StopRun",
]

Priority = Literal["low", "high"]


class StartRun(Command):
    """Create a run of a stored DAG and start it immediately, even if its queue is full."""

    type = "run.start"
    file_name: str
    dag_run_id: str
    dag_name: str | None = None
    params: str = ""
    own_params: bool = False
    own_run_id: bool = False
    """``own_params``, ``own_run_id``: whether the caller chose ``params`` and ``dag_run_id``.

    The DAG's ``runConfig`` may forbid that.
    """
    singleton: bool = False


class EnqueueRun(StartRun):
    """Create a run of a stored DAG that starts when its queue admits it."""

    type = "run.enqueue"
    queue: str | None = None
    priority: Priority = "low"


class StartInline(Command):
    """Create a run from a spec that is not stored as a DAG, and start it or put it in a queue.

    ``dag_name`` overrides the name in the spec. It is required if the spec has no name. ``own_params``,
    ``own_run_id``: as in ``StartRun``.
    """

    type = "run.start_inline"
    spec: str
    dag_run_id: str
    dag_name: str | None = None
    params: str = ""
    singleton: bool = False
    queued: bool = False
    queue: str | None = None
    priority: Priority = "low"
    own_params: bool = False
    own_run_id: bool = False


class StopRun(RunChange):
    """Abort a running run: stop its attempts and start no more."""

    type = "run.stop"


class DequeueRun(RunChange):
    """Remove a queued run from its queue before it starts."""

    type = "run.dequeue"


class RemoveRun(RunChange):
    """Delete a run that has ended, with its sub-runs and logs."""

    type = "run.remove"


class RetryRun(RunChange):
    """Retry a run: run again the steps that did not succeed.

    ``new_run_id`` decides which run is retried:

    - empty or the same as ``dag_run_id``: the run itself, in a new attempt.
    - the id of another existing run: that other run.
    - an unknown id: a new run, which gets the spec and the results of the run.
    """

    type = "run.retry"
    new_run_id: str = ""
    step_name: str | None = None


class RescheduleRun(RunChange):
    """Create a new run with the spec and params of another run, without its results.

    ``own_run_id``: as in ``StartRun``.
    """

    type = "run.reschedule"
    new_run_id: str
    new_dag_name: str | None = None
    singleton: bool = False
    own_run_id: bool = False


class PatchStep(RunChange):
    """Set the status of one node while its run is not running."""

    type = "run.patch_step"
    step_name: str
    status: str
    """A ``NodeStatus`` value."""


class PatchSubStep(RunChange):
    """Set the status of one node of a sub-run. ``dag_name`` and ``dag_run_id`` name the root run."""

    type = "run.patch_sub_step"
    sub_run_id: str
    step_name: str
    status: str
    """A ``NodeStatus`` value."""
