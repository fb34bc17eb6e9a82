"""Everything the gateway reads. Each method makes a few indexed queries and returns typed rows, not API JSON."""

from shared.store.reads.accounts import AccountReads, ApiKeyRow, UserRow, WebhookRow
from shared.store.reads.attempts import AttemptPlace, AttemptReads, AttemptRow
from shared.store.reads.audit import AuditFilter, AuditPlace, AuditReads, AuditRow
from shared.store.reads.base import SchemaRevision
from shared.store.reads.dags import DagReads
from shared.store.reads.dead_letters import DeadLetterReads, DeadLetterRow
from shared.store.reads.idle import IdleReads
from shared.store.reads.logs import LogReads
from shared.store.reads.operations import OpsReads
from shared.store.reads.overview import ApprovalRow, FailedStepRow, OverviewReads, PastRunRow
from shared.store.reads.pools import NodeState, NodeWait, PoolReads, PoolRow, PoolUserRow
from shared.store.reads.rows import (
    DagRow,
    ListedRunRow,
    LogWindow,
    NodeRow,
    QueuePlace,
    QueueRow,
    RunName,
    RunningWorker,
    RunRow,
    ServiceRow,
    TaskRow,
    TransitionRow,
    WorkerRow,
)
from shared.store.reads.runs import RunReads
from shared.store.reads.schedules import FirePlace, FireRow, FireTime, PauseRow, ScheduleReads, WaitFacts
from shared.store.reads.secrets import SecretReads, SecretRow
from shared.store.reads.statistics import EndedRunRow, EndedStepRow, StatisticsReads
from shared.store.reads.stream import ChangeRow, DagVersionRow, Place, StreamReads
from shared.store.reads.totals import TotalsReads
from shared.store.reads.workspaces import WorkspaceReads, WorkspaceRow

__all__ = [
    "ApiKeyRow",
    "ApprovalRow",
    "AttemptPlace",
    "AttemptRow",
    "AuditFilter",
    "AuditPlace",
    "AuditRow",
    "ChangeRow",
    "DagRow",
    "DagVersionRow",
    "DeadLetterRow",
    "EndedRunRow",
    "EndedStepRow",
    "FailedStepRow",
    "FirePlace",
    "FireRow",
    "FireTime",
    "ListedRunRow",
    "LogWindow",
    "NodeRow",
    "NodeState",
    "NodeWait",
    "PastRunRow",
    "PauseRow",
    "Place",
    "PoolRow",
    "PoolUserRow",
    "QueuePlace",
    "QueueRow",
    "Reads",
    "RunName",
    "RunRow",
    "RunningWorker",
    "SchemaRevision",
    "SecretRow",
    "ServiceRow",
    "TaskRow",
    "TransitionRow",
    "UserRow",
    "WaitFacts",
    "WebhookRow",
    "WorkerRow",
    "WorkspaceRow",
]


class Reads(
    DagReads,
    RunReads,
    AttemptReads,
    LogReads,
    OpsReads,
    AccountReads,
    StreamReads,
    ScheduleReads,
    PoolReads,
    IdleReads,
    OverviewReads,
    StatisticsReads,
    TotalsReads,
    AuditReads,
    SecretReads,
    WorkspaceReads,
    DeadLetterReads,
):
    """All reads of the gateway, on a read-only engine. Safe to use from many threads."""
