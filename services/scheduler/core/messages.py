"""The messages that ``advance`` takes, except the reports of workers, which are in ``shared.contracts.events``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.contracts.events import AttemptRequested
from shared.status import NodeStatus, TimerKind

__all__ = [
    "Admit",
    "Approve",
    "AttemptLost",
    "Begin",
    "BegunBeside",
    "ChildRefused",
    "ChildrenSeen",
    "Dequeue",
    "PatchNode",
    "Reject",
    "Requested",
    "Retry",
    "Stop",
    "TaskBarred",
    "TaskUndelivered",
    "TimerFired",
]


@dataclass(frozen=True, slots=True)
class Admit:
    """Start a step that waited for its pools: it now has a place in each pool that it needs."""

    node: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the run: a request started it directly, or its queue admitted it.

    ``retries``: the id of the run whose retry it is, if that is another run. Its steps that have ended already ended
    there.
    """

    by: str
    retries: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the run: no more steps start, open attempts are halted, then the closing handlers run."""

    by: str


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Remove a queued run from its queue."""

    by: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Start a new attempt of a finished run.

    ``step``: if given, only this step runs again. ``queued``: the attempt waits in the run's queue.
    """

    by: str
    step: str = ""
    queued: bool = False


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Set the status of one step by hand."""

    step: str
    status: NodeStatus
    by: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Approve a waiting step. ``user`` is the user who approved it, or empty if unknown."""

    step: str
    inputs: Mapping[str, str]
    by: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject a step that waits for approval. ``user`` is the user who rejected it, or empty if unknown."""

    step: str
    reason: str
    by: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker of attempt ``token`` is lost, or its heartbeats no longer list the attempt."""

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class TaskUndelivered:
    """The task of attempt ``token`` is lost: it has not reached a worker and never will.

    ``never_sent``: no broker queue has accepted it.
    """

    node: int
    token: str
    why: str
    never_sent: bool = False


@dataclass(frozen=True, slots=True)
class TaskBarred:
    """The task of attempt ``token`` was not sent.

    The worker pool that it needs is reserved for other workspaces, or the task is too large for a message.
    """

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class Requested:
    """A worker asks whether it may begin an attempt.

    ``all_heard``: every report that workers sent before they were asked is recorded, so an attempt whose start is not
    recorded has not been begun by another worker.
    """

    event: AttemptRequested
    all_heard: bool

    @property
    def node(self) -> int:
        return self.event.node


@dataclass(frozen=True, slots=True)
class BegunBeside:
    """A worker began an attempt that was closed or held by another worker. Sent once for each worker and token."""

    node: int
    worker_id: str
    why: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that a ``WakeAt`` set is due. Sending it early or twice is harmless."""

    node: int
    kind: TimerKind


@dataclass(frozen=True, slots=True)
class ChildRefused:
    """A sub-run of a node cannot be created: its DAG does not exist or is invalid, or its params are invalid."""

    node: int
    run_id: str
    error: str


@dataclass(frozen=True, slots=True)
class ChildrenSeen:
    """New states of a node's sub-runs, by run id (see ``Child.state``). Sending it twice is harmless.

    The other fields are set only when all sub-runs have ended or wait for approval. They are by run id: ``outputs``
    (``None`` before), ``params`` (the evaluated params, secrets masked) and ``names`` (the DAG names).
    """

    node: int
    states: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, str]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
