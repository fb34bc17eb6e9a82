"""What follows a committed transaction: messages to publish, loops to wake, numbers to count."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.scheduler.core.decision import ClosedAttempt, Halt
from services.scheduler.deciding.traces import Traced
from shared.admission.pools import PoolKey
from shared.status import RunStatus
from shared.transport.base import Outgoing

__all__ = ["NEVER", "PostCommit"]

NEVER = datetime.min.replace(tzinfo=UTC)
"""A time before any other."""


@dataclass(slots=True)
class PostCommit:
    """What to do after the commit, and what the transaction did, for the metrics."""

    outgoing: list[Outgoing] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    wake_at: datetime | None = None
    queues: set[str] = field(default_factory=set)
    """Queues in which a run was queued or a place became free."""
    pools: set[PoolKey] = field(default_factory=set)
    """Pools for which a step asked, or in which a place became free."""
    started: dict[str, int] = field(default_factory=dict)
    """``histRetentionDays`` of each DAG of which a run started or was retried."""
    ended: list[tuple[str, RunStatus]] = field(default_factory=list)
    """(DAG name, status) of each run that ended."""
    families: set[str] = field(default_factory=set)
    """Runs that must look at the statuses of their children."""
    selectors: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    """Worker selectors that tasks were sent to: matching workers must consume from their broker queues."""
    changed: set[str] = field(default_factory=set)
    """Runs that have new transitions."""
    ignored: list[str] = field(default_factory=list)
    schedules: bool = False
    """Whether definitions or pauses changed, and so perhaps the next scheduled time."""
    closed: list[ClosedAttempt] = field(default_factory=list)
    at: datetime = NEVER
    """The time of the decisions."""
    waited: list[float] = field(default_factory=list)
    """Seconds in the queue of each run that left its queue to run."""
    lasted: list[tuple[str, float]] = field(default_factory=list)
    """(DAG name, seconds from start to end) outcome of run that ended."""
    fires: list[str] = field(default_factory=list)
    """The outcome of scheduled time fire."""
    frozen: dict[str, str] = field(default_factory=dict)
    """Hashes of the spec texts frozen for new runs, by the hashes of the DAGs' own texts."""
    traced: Traced = field(default_factory=Traced)
