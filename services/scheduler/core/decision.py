"""What ``advance`` returns: the new state, the transitions, and the effects to carry out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.core.model import Run
from shared.admission.pools import Claim
from shared.contracts.events import Outcome
from shared.contracts.tasks import Task
from shared.status import AttemptState, Begun, TimerKind

__all__ = [
    "HELD_BY_ANOTHER",
    "STALE_REASONS",
    "STALE_TOKEN",
    "THE_RUN",
    "Acquire",
    "AddLog",
    "Advanced",
    "ClosedAttempt",
    "Decision",
    "Dispatch",
    "Effect",
    "Execution",
    "Forget",
    "Grant",
    "Halt",
    "Ignored",
    "Refused",
    "Release",
    "StartChild",
    "StopChild",
    "Transition",
    "WakeAt",
]


THE_RUN = -1
"""The node of a timer of the run itself."""
STALE_TOKEN, HELD_BY_ANOTHER = "stale token", "held by another"
STALE_REASONS = frozenset({STALE_TOKEN, HELD_BY_ANOTHER})
"""Why a message about an attempt is ignored: the attempt is closed, or another worker has it."""


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
    """Send ``task`` to the own broker queue of worker ``worker_id``.

    If ``worker_id`` is ``None``, send it to the shared broker queue of the DAG's worker selector. ``urgent``: it
    overtakes tasks of runs that have many on their way.
    """

    task: Task
    worker_id: str | None
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class Halt:
    """Tell a worker to end an attempt. ``revoked``: the attempt is closed already, so its reports are stale.

    If ``worker_id`` is ``None``, tell all workers, because the task is on a broker queue that several workers consume.
    ``incarnation``: tell only this incarnation of the worker; empty means any.
    """

    worker_id: str | None
    token: str
    revoked: bool
    reason: str
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """Tell this incarnation of a worker that it may begin the attempt that it asked for."""

    worker_id: str
    incarnation: str
    token: str


@dataclass(frozen=True, slots=True)
class Execution:
    """Record that a worker began an attempt, or asked whether it may.

    Only the first record of a worker process and token is kept. ``accepted``: the attempt belongs to this worker.
    ``begun``: the worker has begun the attempt, or may begin it without asking again.
    """

    token: str
    node: int
    worker_id: str
    incarnation: str
    at: datetime
    accepted: bool
    begun: bool
    why: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send ``TimerFired(node, kind)`` at ``due_at``. Replaces a timer of the same node and kind.

    ``node`` may be ``THE_RUN``.
    """

    node: int
    kind: TimerKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedAttempt:
    """Record how an attempt ended.

    ``log_bytes``: the size of each stream's whole log, or ``None`` if the worker did not report it.
    """

    token: str
    node: int
    run_attempt: int
    number: int
    state: AttemptState
    outcome: Outcome | None
    worker_id: str | None
    incarnation: str | None
    exit_code: int | None
    error: str
    dispatched_at: datetime
    started_at: datetime | None
    begun: Begun
    log_bytes: Mapping[str, int] | None = None
    ended_at: datetime | None = None
    """When the worker reported the end; ``None`` if it did not."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the run, because it has never started (as in Dagu's REST API v2)."""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start the sub-run ``run_id`` of ``dag``, or retry it if it exists.

    ``selector``: if not empty, it replaces the worker selector of the sub-run's DAG. ``folder``: the working directory
    of the calling step.
    """

    node: int
    run_id: str
    dag: str
    given: str
    selector: tuple[tuple[str, str], ...] = ()
    folder: str = ""


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop the sub-run ``run_id``."""

    run_id: str


@dataclass(frozen=True, slots=True)
class AddLog:
    """Store output that the scheduler, not a worker, writes for a node, as stdout of the attempt ``token``."""

    token: str
    node: int
    run_attempt: int
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask for one place in each of these pools; ``Admit`` is sent when the node has them.

    A node that asks again keeps its position.
    """

    node: int
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Free the places of a node, or stop its wait for them. A place of a rate limit stays taken until its time."""

    node: int
    claims: tuple[Claim, ...]


Effect = (
    Dispatch
    | Halt
    | Grant
    | Execution
    | WakeAt
    | ClosedAttempt
    | Forget
    | StartChild
    | StopChild
    | AddLog
    | Acquire
    | Release
)


@dataclass(frozen=True, slots=True)
class Advanced:
    """The run changed. ``changed``: the indices of the nodes that changed."""

    run: Run
    transitions: tuple[Transition, ...]
    effects: tuple[Effect, ...]
    changed: frozenset[int]


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message changes nothing, for instance because its token is stale. Counted, but not an error."""

    why: str
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The state of the run does not allow the command. ``code`` is an error code of the REST API."""

    code: str
    message: str


Decision = Advanced | Ignored | Refused
