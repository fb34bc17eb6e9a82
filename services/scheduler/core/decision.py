"""What ``advance`` returns: the new state, the transitions, and the effects to carry out."""

from dataclasses import dataclass
from datetime import datetime

from services.scheduler.core.model import Run
from shared.admission.pools import Claim
from shared.contracts.tasks import Task
from shared.status import AttemptState

__all__ = [
    "Acquire",
    "AddLog",
    "Advanced",
    "ClosedAttempt",
    "Decision",
    "Dispatch",
    "Effect",
    "Forget",
    "Halt",
    "Ignored",
    "Refused",
    "Release",
    "StartChild",
    "StopChild",
    "Transition",
    "WakeAt",
]


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a run (``node`` is ``None``) or of a node. ``seq`` is gap-free per run."""

    seq: int
    node: int | None
    was: str
    became: str
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send ``task`` to one worker's own route, or (``worker_id`` ``None``) to any with the labels."""

    task: Task
    worker_id: str | None
    selector: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Halt:
    """Tell a worker to end an attempt; ``revoked``: it has already lost the right to report.

    ``worker_id`` ``None``: any worker, since its task waits on a broker queue that several workers consume.
    """

    worker_id: str | None
    token: str
    revoked: bool
    reason: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send ``TimerFired(node, kind)`` at ``due_at``; a timer of the same node and kind is replaced.

    ``node`` is -1 for the run itself.
    """

    node: int
    kind: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedAttempt:
    """Record how an attempt ended: written once, never changed."""

    token: str
    node: int
    run_attempt: int
    number: int
    state: AttemptState
    outcome: str | None
    worker_id: str | None
    incarnation: str | None
    exit_code: int | None
    error: str
    dispatched_at: datetime
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the run: it was only ever queued (REST contract 5.8, dequeue)."""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start the run ``run_id`` of ``dag`` below this one, or run again what is left of it.

    ``selector``: the labels its workers must have, before its own; empty: its own.
    """

    node: int
    run_id: str
    dag: str
    given: str
    selector: tuple[tuple[str, str], ...] = ()
    folder: str = ""


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop a run below this one."""

    run_id: str


@dataclass(frozen=True, slots=True)
class AddLog:
    """Store output that the scheduler, not a worker, makes for a node, as stdout of the attempt ``token``."""

    token: str
    node: int
    run_attempt: int
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask for one place in each of these pools; ``Admit`` follows. Asking twice keeps the place in the line."""

    node: int
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Give back the places of a node, or stop asking for them; those of a rate limit stay taken for their time."""

    node: int
    claims: tuple[Claim, ...]


Effect = Dispatch | Halt | WakeAt | ClosedAttempt | Forget | StartChild | StopChild | AddLog | Acquire | Release


@dataclass(frozen=True, slots=True)
class Advanced:
    """The run changed."""

    run: Run
    transitions: tuple[Transition, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A fact that changes nothing (a duplicate, a stale token). Counted, never an error."""

    why: str
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that the run's state forbids; ``code`` is an error code of the REST contract."""

    code: str
    message: str


Decision = Advanced | Ignored | Refused
