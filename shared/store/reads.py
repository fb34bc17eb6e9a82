"""Everything the gateway reads: a few indexed queries a question, typed rows, no API shapes."""

from shared.store.reads_dags import DagReads
from shared.store.reads_logs import LogReads
from shared.store.reads_ops import OpsReads
from shared.store.reads_rows import (
    ActiveCounts,
    Command,
    Dag,
    DagPage,
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
from shared.store.reads_runs import LATEST, RunReads

__all__ = [
    "LATEST",
    "ActiveCounts",
    "Command",
    "Dag",
    "DagPage",
    "LogWindow",
    "Node",
    "Queue",
    "Reads",
    "Run",
    "RunName",
    "Service",
    "Task",
    "Transition",
    "Worker",
]


class Reads(DagReads, RunReads, LogReads, OpsReads):
    """All questions in one place; give it a read-only engine. Safe to use from many threads."""
