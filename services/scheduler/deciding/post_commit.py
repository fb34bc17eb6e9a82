"""What follows a committed transaction: what to send, whom to tell and wake, what to count."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.scheduler.core.decision import ClosedAttempt, Halt
from services.scheduler.deciding.traces import Traced
from shared.admission.pools import PoolKey
from shared.status import RunStatus
from shared.transport.base import Outgoing

__all__ = ["NEVER", "Aftermath"]

NEVER = datetime.min.replace(tzinfo=UTC)
"""Before every moment."""


@dataclass(slots=True)
class Aftermath:
    """What to do once the transaction is committed, and what happened in it, for the counters."""

    outgoing: list[Outgoing] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    wake_at: datetime | None = None
    queues: set[str] = field(default_factory=set)
    """Queues in which something was queued or a place became free."""
    pools: set[PoolKey] = field(default_factory=set)
    """The same of pools."""
    started: dict[str, int] = field(default_factory=dict)
    """``histRetentionDays`` of each dag of which a run started, or started again."""
    ended: list[tuple[str, RunStatus]] = field(default_factory=list)
    """(dag name, status) of each run that came to its end."""
    families: set[str] = field(default_factory=set)
    """Runs whose children have news for them."""
    selectors: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    """Labels that tasks were sent to: workers with them must consume from that route."""
    changed: set[str] = field(default_factory=set)
    """Runs that have new transitions."""
    ignored: list[str] = field(default_factory=list)
    schedules: bool = False
    """Whether definitions or pauses changed: what is due next may have, too."""
    closed: list[ClosedAttempt] = field(default_factory=list)
    at: datetime = NEVER
    """When it was decided."""
    waited: list[float] = field(default_factory=list)
    """Seconds in the queue, of each run that left one to run."""
    lasted: list[tuple[str, float]] = field(default_factory=list)
    """(dag name, seconds from start to end) of each run that ended."""
    fires: list[str] = field(default_factory=list)
    """Outcome of each scheduled time decided."""
    frozen: dict[str, str] = field(default_factory=dict)
    """Hashes of texts as they were frozen for new runs, by the hashes of the dags' own."""
    traced: Traced = field(default_factory=Traced)
