"""What reads give: frozen rows with status tokens and aware UTC datetimes, no API shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from shared.language.expansion.secret_params import show_params
from shared.status import AttemptState, NodeStatus, RunStatus

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
    """A definition. ``spec``: its text, ``None`` where many dags were asked for at once.

    ``next_start_at``: when its schedule starts it next, ``None`` if it does not, or while that is paused.
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
    """``total``: how many there are in all, not on this page."""

    dags: tuple[DagRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class RunName:
    """How people name a run."""

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
    """``(run id, params)`` of each run it called, at its last repetition; without those that could not be."""
    started_at: datetime | None
    finished_at: datetime | None
    unmet: Sequence[str] | None = None
    """Of each precondition why it was not met, empty where it was; of a prepare node, the dag's."""
    approval: Mapping[str, Any] | None = None
    """A person's word on it: ``granted``, ``at`` (ISO 8601), and if known ``by``, ``inputs``, ``reason``."""
    said: Mapping[str, Any] | None = None
    """What its last attempt said of itself, ``progress`` and ``remarks``; where a single run was asked for."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A DAG-run. ``nodes`` is ``None`` where they were not asked for.

    ``root`` is the run's own name where it is nobody's child, and ``parent`` is ``None`` then.
    """

    run_key: str
    version: int
    root_key: str
    dag_name: str
    dag_run_id: str
    file_name: str | None
    root: RunName
    parent: RunName | None
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
    nodes: tuple[NodeRow, ...] | None = None
    trace: str = ""
    """The traceparent it was asked for in; empty for what is older than that."""
    asked_as: str = ""
    """Of a called run the parameters as people may see them: with stars for secrets."""

    @property
    def shown_params(self) -> tuple[tuple[str, str], ...]:
        """What people may see of ``params``."""
        return show_params(self.params, self.asked_as)


class ListedRunRow(NamedTuple):
    """A run in a list. What was made of one ``version`` of a run stays right while that is its version."""

    run_key: str
    version: int
    created_at: datetime
    dag_run_id: str


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One change, of a node if ``node`` names one, else of the run itself."""

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
    """Lines ``offset`` and following (from 0) of a log of ``total`` lines, without their ends, undecoded."""

    lines: tuple[bytes, ...]
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class TaskRow:
    """An attempt that a worker has."""

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
    """A worker process that was heard of; ``state``: live, draining, stopped or lost."""

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


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service instance that announced itself."""

    kind: str
    instance_id: str
    host: str
    version: str
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue; ``queued`` in the order of admission. Both lists may be cut short, the counts are not."""

    name: str
    kind: str
    max_concurrency: int | None
    running_count: int
    queued_count: int
    running: tuple[RunRow, ...]
    queued: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class ActiveCounts:
    """How much there is of what can still change, and how many dags."""

    dags: int
    running: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Runs by dag name; dags with none are left out. So in ``queued``."""
    queued: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class CommandRow:
    """What became of a command that was accepted."""

    command_id: str
    type: str
    body_hash: str
    outcome: str
    reply: Any
    at: datetime
