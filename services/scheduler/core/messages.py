"""The messages that ``advance`` takes, except the reports of workers (``shared.contracts.events``)."""

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
    """The node has a place in each of the pools it claims."""

    node: int


@dataclass(frozen=True, slots=True)
class Begin:
    """The run may start: asked for directly, or admitted from its queue."""

    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: no step starts any more, open attempts are halted, then the closing handlers run."""

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
    """Approve a waiting step. ``user`` is who approved it; empty if not known."""

    step: str
    inputs: Mapping[str, str]
    by: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the step that waits for approval; ``user`` as in ``Approve``."""

    step: str
    reason: str
    by: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The lease of the worker that held ``token`` has expired, or the worker no longer names the attempt."""

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class TaskUndelivered:
    """The task of ``token`` reached no worker and never will."""

    node: int
    token: str
    why: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of a ``WakeAt`` has come. Firing early or twice is harmless."""

    node: int
    kind: str


@dataclass(frozen=True, slots=True)
class ChildRefused:
    """A run that a node called cannot be created: no such dag, or parameters that it does not accept."""

    node: int
    run_id: str
    error: str


@dataclass(frozen=True, slots=True)
class ChildrenSeen:
    """The states of the runs that a node called, by run id (see ``Child.state``). Sending it twice is harmless.

    ``outputs`` by run id come once all of them have stopped; ``None`` before. So do ``params``, each run's
    evaluated parameters as people see them, and ``names``, the name of each run's dag.
    """

    node: int
    states: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, str]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
