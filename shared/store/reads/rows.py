"""The rows that reads return: frozen, with status enums and aware UTC datetimes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from shared.language.expansion.secret_params import show_params
from shared.status import AttemptState, NodeStatus, RunStatus
from shared.store.queries.workers import LIVE, believed_state

__all__ = [
    "ActiveCounts",
    "CommandRow",
    "DagPage",
    "DagRow",
    "ListedRunRow",
    "LogWindow",
    "NodeRow",
    "QueueRow",
    "RunName",
    "RunRow",
    "ServiceRow",
    "TaskRow",
    "TransitionRow",
    "WorkerRow",
]


@dataclass(frozen=True, slots=True)
class DagRow:
    """A definition. ``spec``: its text, ``None`` in lists.

    ``next_start_at``: when its schedule starts it next; ``None`` without such a schedule and during a pause.
    """

    file_name: str
    dag_name: str
    version: int
    errors: tuple[Any, ...]
    suspended: bool
    spec_hash: str
    created_at: datetime
    updated_at: datetime
    next_start_at: datetime | None = None
    spec: str | None = None


@dataclass(frozen=True, slots=True)
class DagPage:
    """One page of definitions. ``total``: how many match in all, not on this page."""

    dags: tuple[DagRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class RunName:
    """The name of a run."""

    dag_name: str
    dag_run_id: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A step or handler of a run."""

    run_key: str
    idx: int
    kind: str
    name: str
    status: NodeStatus
    number: int
    retry_count: int
    done_count: int
    exit_code: int | None
    error: str
    stdout: str
    stderr: str
    outputs: Mapping[str, Any]
    children: tuple[tuple[str, str], ...]
    """``(run id, params)`` of each run it called in its last repetition; without those that could not be started."""
    started_at: datetime | None
    finished_at: datetime | None
    unmet: Sequence[str] | None = None
    """For each precondition why it was not met, empty where it was; a prepare node has those of the DAG."""
    approval: Mapping[str, Any] | None = None
    """A person's decision on an approval: ``granted``, ``at`` (ISO 8601), if known ``by``, ``inputs``, ``reason``."""
    said: Mapping[str, Any] | None = None
    """``progress`` and ``remarks`` of its last attempt; only where a single run is read."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A DAG run. ``nodes`` is ``None`` where they were not read.

    Of a root run, ``root`` is its own name and ``parent`` is ``None``.
    """

    run_key: str
    version: int
    root_key: str
    dag_name: str
    dag_run_id: str
    file_name: str | None
    status: RunStatus
    run_attempt: int
    queue: str
    priority: int
    given: str
    params: tuple[tuple[str, str], ...]
    params_json: str | None
    worker_id: str | None
    stop_reason: str | None
    error: str
    spec_hash: str
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    trace: str
    """The traceparent of the request that started it; empty for runs older than this column."""
    asked_as: str
    """The parameters of a called run as people may see them: with stars for secrets."""
    root: RunName
    parent: RunName | None
    nodes: tuple[NodeRow, ...] | None

    @property
    def shown_params(self) -> tuple[tuple[str, str], ...]:
        """``params`` with stars for secrets."""
        return show_params(self.params, self.asked_as)


class ListedRunRow(NamedTuple):
    """A run in a list. What is cached for one ``version`` of a run is valid while the run has that version."""

    run_key: str
    version: int
    created_at: datetime
    dag_run_id: str


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One change of status: of the node with index ``node``, else of the run itself."""

    seq: int
    at: datetime
    node: int | None
    node_name: str | None
    was: str
    became: str
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class LogWindow:
    """Lines from ``offset`` (the first is 0) of a log of ``total`` lines, without line ends, not decoded."""

    lines: tuple[bytes, ...]
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class TaskRow:
    """An open attempt of a worker."""

    run: RunName
    root: RunName
    parent: RunName | None
    node_name: str
    state: AttemptState
    worker_id: str
    dispatched_at: datetime | None
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker that announced itself. ``state``: live, draining, stopped or lost."""

    worker_id: str
    incarnation: str
    host: str
    version: str
    labels: Mapping[str, str]
    slots: int
    busy: int
    state: str
    started_at: datetime
    heartbeat_at: datetime
    lease_until: datetime
    executors: tuple[str, ...] = ()
    tasks: tuple[TaskRow, ...] = ()

    def takes_work(self, now: datetime) -> bool:
        """Return whether it is live and its lease has not ended."""
        return believed_state(self.state, self.lease_until, now) == LIVE


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A scheduler instance that announced itself."""

    kind: str
    instance_id: str
    host: str
    version: str
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue; ``queued`` is in order of admission. Both lists may be cut off, the counts are not."""

    name: str
    kind: str
    max_concurrency: int | None
    running_count: int
    queued_count: int
    running: tuple[RunRow, ...]
    queued: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class ActiveCounts:
    """How many runs are running and queued, and how many DAGs there are."""

    dags: int
    running: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Runs by DAG name; DAGs without any are left out. The same holds for ``queued``."""
    queued: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class CommandRow:
    """The outcome of a command."""

    command_id: str
    type: str
    body_hash: str
    outcome: str
    reply: Any
    at: datetime
