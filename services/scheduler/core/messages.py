"""What can happen to a run, beside the workers' reports (``shared.contracts.events``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.status import NodeStatus

__all__ = [
    "Admit",
    "Approve",
    "AttemptLost",
    "Begin",
    "ChildRefused",
    "ChildrenSeen",
    "Dequeue",
    "PatchNode",
    "Reject",
    "Retry",
    "Stop",
    "TaskUndelivered",
    "TimerFired",
]


@dataclass(frozen=True, slots=True)
class Admit:
    """The node has a place in each of the pools it asked."""

    node: int


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
    """A new attempt of a finished run; ``step``: only that one runs again; ``queued``: when its queue lets it."""

    by: str
    step: str = ""
    queued: bool = False


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Set one step's status by hand."""

    step: str
    status: NodeStatus
    by: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Let a step that waits for approval be done. ``user`` is who said so, empty: not known for sure."""

    step: str
    inputs: Mapping[str, str]
    by: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Forbid a step that waits for approval; ``user`` as in ``Approve``."""

    step: str
    reason: str
    by: str
    user: str = ""


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


@dataclass(frozen=True, slots=True)
class ChildRefused:
    """A run that a node called for cannot be: no such dag, parameters it does not understand."""

    node: int
    run_id: str
    error: str


@dataclass(frozen=True, slots=True)
class ChildrenSeen:
    """Where runs that a node called stand, by run id (see ``Child.state``); telling it twice does no harm.

    ``outputs`` come once none of them goes on, those of each run by its id; ``None`` before. So do ``params``,
    what each run made of its parameters, as it is shown, and ``names``, what each run's dag is called.
    """

    node: int
    states: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, str]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
