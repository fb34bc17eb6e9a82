"""What can happen to a run, beside the workers' reports (``shared.contracts.events``)."""

from dataclasses import dataclass

from shared.status import NodeStatus

__all__ = ["AttemptLost", "Begin", "Dequeue", "PatchNode", "Retry", "Stop", "TaskUndelivered", "TimerFired"]


@dataclass(frozen=True, slots=True)
class Begin:
    """The run may start: asked for directly, or admitted from its queue."""

    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: nothing new starts, what runs is told to end, then the closing handlers run."""

    by: str


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Take a queued run out of its queue."""

    by: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A new attempt of a finished run; ``step``: only that one runs again."""

    by: str
    step: str = ""


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Set one step's status by hand."""

    step: str
    status: NodeStatus
    by: str


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker that held ``token`` is not believed any more."""

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class TaskUndelivered:
    """The task of ``token`` reached nobody and never will."""

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The moment of a ``WakeAt`` came; firing early or twice does no harm."""

    node: int
    kind: str
