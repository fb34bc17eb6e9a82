"""Everything the gateway reads: a few indexed queries a question, typed rows, no API shapes."""

from shared.store.reads.accounts import AccountReads, ApiKey, User, Webhook
from shared.store.reads.base import SchemaRevision
from shared.store.reads.dags import DagReads
from shared.store.reads.logs import LogReads
from shared.store.reads.operations import OpsReads
from shared.store.reads.pools import NodeState, NodeWait, Pool, PoolReads, PoolUser
from shared.store.reads.rows import (
    ActiveCounts,
    Command,
    Dag,
    DagPage,
    Listed,
    LogWindow,
    Node,
    Queue,
    Run,
    RunName,
    Service,
    Task,
    Transition,
    Worker,
)
from shared.store.reads.runs import LATEST, RunReads
from shared.store.reads.schedules import Pause, ScheduleReads, WaitFacts
from shared.store.reads.stream import Change, DagVersion, Place, StreamReads
from shared.store.reads.totals import Histogram, History, RunChange, TotalsReads

__all__ = [
    "LATEST",
    "ActiveCounts",
    "ApiKey",
    "Change",
    "Command",
    "Dag",
    "DagPage",
    "DagVersion",
    "Histogram",
    "History",
    "Listed",
    "LogWindow",
    "Node",
    "NodeState",
    "NodeWait",
    "Pause",
    "Place",
    "Pool",
    "PoolUser",
    "Queue",
    "Reads",
    "Run",
    "RunChange",
    "RunName",
    "SchemaRevision",
    "Service",
    "Task",
    "Transition",
    "User",
    "WaitFacts",
    "Webhook",
    "Worker",
]


class Reads(
    DagReads,
    RunReads,
    LogReads,
    OpsReads,
    AccountReads,
    StreamReads,
    ScheduleReads,
    PoolReads,
    TotalsReads,
):
    """All questions in one place; give it a read-only engine. Safe to use from many threads."""
