"""The actions after a commit: messages to publish, loops to wake, events to count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.scheduler.core.decision import ClosedAttempt, Grant, Halt
from services.scheduler.deciding.plans import SnapshotSource, StoredSnapshot
from services.scheduler.deciding.traces import Traced
from shared.admission.pools import PoolKey
from shared.status import RunStatus
from shared.transport.base import Outgoing

__all__ = ["NEVER", "EndedRun", "PostCommit"]

NEVER = datetime.min.replace(tzinfo=UTC)
"""A time before all others."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that a transaction ended. ``lasted_s``: from its start to its end; ``None`` if it was not running."""

    run_key: str
    dag_name: str
    dag_run_id: str
    status: RunStatus
    is_root: bool
    lasted_s: float | None


@dataclass(slots=True)
class PostCommit:
    """Actions after the commit, and facts about the transaction for metrics and traces."""

    at: datetime = NEVER
    """The time of the decisions."""

    # -- what to send ------------------------------------------------------------------------------

    outgoing: list[Outgoing] = field(default_factory=list)
    """Messages to publish; they are also in the outbox."""
    halts: list[Halt] = field(default_factory=list)
    """Attempts that workers must stop."""
    grants: list[Grant] = field(default_factory=list)
    """Attempts that workers asked for and may begin."""
    selectors: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    """Worker selectors that tasks were sent to: matching workers must consume from their broker queues."""
    drain_orders: dict[str, bool] = field(default_factory=dict)
    """Workers that must be told whether they are drained."""
    changed: set[str] = field(default_factory=set)
    """Keys of runs that have new transitions."""
    ended: list[EndedRun] = field(default_factory=list)
    """The runs that ended; they are among those that ``changed``."""
    traced: Traced = field(default_factory=Traced)

    # -- what loops and caches must know -----------------------------------------------------------

    wake_at: datetime | None = None
    """The earliest time of a new timer."""
    queues: set[str] = field(default_factory=set)
    """Queues in which a run was queued, or whose limit changed."""
    freed: set[str] = field(default_factory=set)
    """Queues in which a place may have become free."""
    pools: set[PoolKey] = field(default_factory=set)
    """Pools in which a step asked for a place, or a place became free."""
    families: dict[str, set[str] | None] = field(default_factory=dict)
    """The ids of children whose statuses may have changed, by the keys of their parent runs; see ``note_child``."""
    dags: set[str] = field(default_factory=set)
    """The file names of DAGs that changed, so that their next scheduled times may have changed."""
    pauses: bool = False
    """Whether a pause began or ended."""
    started: dict[str, int] = field(default_factory=dict)
    """``histRetentionDays`` by DAG name, for each DAG with a run that started or was retried."""
    removed: bool = False
    """Whether a removed run has sub-runs that are left to delete."""
    audited: bool = False
    """Whether the audit log has new entries, which must be linked."""
    rules: bool = False
    """Whether rules about workspaces changed, which this scheduler keeps in memory."""
    snapshots: dict[SnapshotSource, StoredSnapshot] = field(default_factory=dict)
    """The specs of new runs that this transaction stored, by what they were made from; see ``Plans.store_snapshot``."""

    # -- what is counted ---------------------------------------------------------------------------

    waited: list[float] = field(default_factory=list)
    """Seconds in the queue, for each run that left its queue and started."""
    closed: list[ClosedAttempt] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    """Seconds from a gateway's send of each command that created a run, until this transaction."""
    begun: list[float] = field(default_factory=list)
    """Seconds from the creation of each run that began for the first time."""
    ignored: list[str] = field(default_factory=list)
    """The reason for each ignored event."""
    begun_beside: int = 0
    """How many steps may have run twice, because a worker began an attempt that was closed or held by another."""
    fires: list[str] = field(default_factory=list)
    """The outcome of each fire."""

    def announce(self, selector: Mapping[str, str]) -> None:
        """Let workers that satisfy a worker selector consume from its broker queue. Those of ``{}`` always do."""
        if selector:
            self.selectors.add(tuple(sorted(selector.items())))

    def note_child(self, parent_key: str, run_id: str | None) -> None:
        """Note that the status of a child may have changed; ``None``: those of any children of this parent run."""
        known = self.families.setdefault(parent_key, set())
        if run_id is None or known is None:
            self.families[parent_key] = None
        else:
            known.add(run_id)
