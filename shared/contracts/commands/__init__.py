"""Commands: asked from outside, recorded exactly once, and possibly refused.

The envelope's ``id`` is the command id (the caller's Idempotency-Key where there is one).
``file_name`` is a dag file's name without extension; ``dag_name`` is the key of run history.
"""

from typing import Any, Literal

from pydantic import Field

from shared.contracts.base import Message

__all__ = [
    "Command",
    "CommandReply",
    "CreateDag",
    "DeleteDag",
    "DequeueRun",
    "EnqueueRun",
    "PatchStep",
    "PutSpec",
    "RefusedError",
    "RenameDag",
    "RetryRun",
    "StartRun",
    "StopRun",
    "SuspendDag",
]


class Command(Message):
    """What all commands share."""

    by: str = "anonymous"
    """Who asked, for the transition log."""


class CreateDag(Command):
    """Store a new dag; refused when the file name is taken or the spec is invalid."""

    type = "dag.create"
    file_name: str
    spec: str


class PutSpec(Command):
    """Replace the spec of an existing dag; an invalid spec changes nothing."""

    type = "dag.put_spec"
    file_name: str
    spec: str


class DeleteDag(Command):
    """Remove a dag; its runs stay."""

    type = "dag.delete"
    file_name: str


class RenameDag(Command):
    """Give a dag file another name; refused when that is taken or a run is under way."""

    type = "dag.rename"
    file_name: str
    new_file_name: str


class SuspendDag(Command):
    """Switch a dag's schedules off or on; asking twice changes nothing."""

    type = "dag.suspend"
    file_name: str
    suspend: bool


class StartRun(Command):
    """Create a run from a stored dag and start it at once, whatever its queue holds."""

    type = "run.start"
    file_name: str
    dag_run_id: str
    dag_name: str | None = None
    params: str = ""
    own_params: bool = False
    own_run_id: bool = False
    """Whether a person wrote ``params``, or chose ``dag_run_id``: the dag's ``runConfig`` may forbid it."""
    singleton: bool = False


class EnqueueRun(StartRun):
    """Create a run that starts when its queue's limits allow."""

    type = "run.enqueue"
    queue: str | None = None
    priority: Literal["low", "high"] = "low"


class StopRun(Command):
    """Abort a running run: its open attempts are stopped, nothing new starts."""

    type = "run.stop"
    dag_name: str
    dag_run_id: str


class DequeueRun(Command):
    """Withdraw a queued run before it starts."""

    type = "run.dequeue"
    dag_name: str
    dag_run_id: str


class RetryRun(Command):
    """Run again what did not succeed (contract 5.8).

    ``new_run_id`` empty or equal to ``dag_run_id``: a new attempt in place. Another existing run's
    id: that run is retried. An unknown id: a new run from this one's snapshot, keeping results.
    """

    type = "run.retry"
    dag_name: str
    dag_run_id: str
    new_run_id: str = ""
    step_name: str | None = None


class PatchStep(Command):
    """Set one node's status by hand while its run is not running."""

    type = "run.patch_step"
    dag_name: str
    dag_run_id: str
    step_name: str
    status: str
    """A ``NodeStatus`` token."""


class RefusedError(Message):
    """Why a command was refused; ``code`` is an error code of contract section 1.1."""

    type = "error"
    code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class CommandReply(Message):
    """The recorded outcome of one command; the same for every delivery of it."""

    type = "command.reply"
    command_id: str
    outcome: Literal["recorded", "refused"]
    result: dict[str, Any] = Field(default_factory=dict)
    error: RefusedError | None = None
