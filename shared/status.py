"""The statuses of runs, nodes and attempts, and other words that the database stores: one enum each.

The values of statuses are the status labels of the REST API. ``RUN_LABELS`` and ``NODE_LABELS`` have them in
the order of the API's numbers.
"""

from enum import StrEnum
from typing import Literal, get_args

__all__ = [
    "NODE_LABELS",
    "RUN_LABELS",
    "AttemptState",
    "Begun",
    "FireOutcome",
    "NodeLabel",
    "NodeStatus",
    "RunLabel",
    "RunStatus",
    "StopReason",
    "TimerKind",
    "WorkerState",
]

RunLabel = Literal[
    "not_started",
    "running",
    "failed",
    "aborted",
    "succeeded",
    "queued",
    "partially_succeeded",
    "waiting",
    "rejected",
]
NodeLabel = Literal[
    "not_started",
    "running",
    "failed",
    "aborted",
    "succeeded",
    "skipped",
    "partially_succeeded",
    "waiting",
    "rejected",
]
RUN_LABELS: tuple[RunLabel, ...] = get_args(RunLabel)
"""The place of a label is its number in the API. 5 is *queued* here, and *skipped* in ``NODE_LABELS``."""
NODE_LABELS: tuple[NodeLabel, ...] = get_args(NodeLabel)
"""The place of a label is its number in the API."""
WorkerState = Literal["live", "draining", "stopped", "lost"]
FireOutcome = Literal["fired", "skipped", "missed"]


class RunStatus(StrEnum):
    """The status of a DAG run."""

    NOT_STARTED = "not_started"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    REJECTED = "rejected"

    @property
    def to_begin(self) -> bool:
        """Whether the next attempt of the run is to begin."""
        return self in (RunStatus.NOT_STARTED, RunStatus.QUEUED)

    @property
    def active(self) -> bool:
        """Whether the run has been queued or started and has not ended."""
        return self in _ACTIVE_RUN

    @property
    def ended(self) -> bool:
        return self not in _ACTIVE_RUN and self is not RunStatus.NOT_STARTED

    @property
    def successful(self) -> bool:
        return self in (RunStatus.SUCCEEDED, RunStatus.PARTIALLY_SUCCEEDED)


_ACTIVE_RUN = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING})


class NodeStatus(StrEnum):
    """The status of a step inside a run."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    SKIPPED = "skipped"
    REJECTED = "rejected"

    @property
    def terminal(self) -> bool:
        return self not in (NodeStatus.NOT_STARTED, NodeStatus.RUNNING, NodeStatus.WAITING)

    @property
    def successful(self) -> bool:
        return self in (NodeStatus.SUCCEEDED, NodeStatus.PARTIALLY_SUCCEEDED)

    @property
    def done(self) -> bool:
        """Whether a retry of the run leaves the step as it is: it succeeded or was skipped."""
        return self.successful or self is NodeStatus.SKIPPED


class StopReason(StrEnum):
    """Why no more steps of a run may start."""

    STOP = "stop"
    """Somebody asked for it."""
    TIMEOUT = "timeout"
    PRECONDITION = "precondition"
    """The preconditions of the DAG were not met."""
    INIT = "init"
    """The init handler failed."""
    PREPARE = "prepare"
    """The prepare attempt failed."""


class TimerKind(StrEnum):
    """What a timer of a run or of one of its nodes is for."""

    TIMEOUT = "timeout"
    RETRY = "retry"
    """A step's next try or repetition."""
    DELAY = "delay"
    """The run's next step may start: ``delaySec`` is over."""
    POOL = "pool"
    """A place of a rate limit that a step waits for may be free."""


class AttemptState(StrEnum):
    """The status of one attempt of a step. An attempt in ``DISPATCHED`` or ``RUNNING`` is open: it has not ended."""

    DISPATCHED = "dispatched"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"
    WITHDRAWN = "withdrawn"

    @property
    def open(self) -> bool:
        return self in (AttemptState.DISPATCHED, AttemptState.RUNNING)


class Begun(StrEnum):
    """What is known of a closed attempt: whether a worker has begun to run its step."""

    NEVER_SENT = "never_sent"
    """No broker queue accepted its task."""
    NO = "no"
    """The worker that held it says that it has not begun it and never will."""
    PERHAPS = "perhaps"
    """Its task was sent, or a worker had the right to begin it, and nothing more was heard."""
    YES = "yes"
