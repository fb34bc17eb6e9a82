"""The rows that reads return: frozen, with status enums and aware UTC datetimes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
    "DagSpec",
    "ListedRunRow",
    "LogHits",
    "LogWindow",
    "NodeRow",
    "QueuePlace",
    "QueueRow",
    "RunName",
    "RunRow",
    "RunningWorker",
    "ServiceRow",
    "TaskRow",
    "TransitionRow",
    "WorkerRow",
]


class DagRow(NamedTuple):
    """A stored DAG. ``spec`` is its text, or ``None`` in lists.

    ``next_start_at`` is when its schedule starts it next, or ``None`` if it has no start schedule or is paused.
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


class DagSpec(NamedTuple):
    """Which spec a DAG has."""

    file_name: str
    dag_name: str
    spec_hash: str


class DagPage(NamedTuple):
    """One page of DAGs. ``total`` is the number of matching DAGs on all pages."""

    dags: tuple[DagRow, ...]
    total: int


class RunName(NamedTuple):
    """The name of a run: the DAG's name and the run's id."""

    dag_name: str
    dag_run_id: str


class NodeRow(NamedTuple):
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
    """``(run id, params)`` of each sub-run of its last repetition, without those that could not be started."""
    started_at: datetime | None
    finished_at: datetime | None
    unmet: Sequence[str] | None = None
    """For each precondition, why it was not met, or an empty string if it was. A prepare node has the DAG's."""
    approval: Mapping[str, Any] | None = None
    """The decision on an approval step: ``granted``, ``at`` (ISO 8601) and, if set, ``by``, ``inputs``, ``reason``."""
    admission: str = ""
    """``waits`` while the node waits for its pools."""
    retry_at: datetime | None = None
    token_state: str | None = None
    """The state of its open attempt: ``dispatched`` or ``running``; ``None`` without one."""
    token_worker: str | None = None
    dispatched_at: datetime | None = None
    said: Mapping[str, Any] | None = None
    """``progress`` and ``remarks`` of its last attempt. Set only if a single run was read, not in lists."""

    @property
    def waits_for_something(self) -> bool:
        """Whether it waits for a pool, for a worker to begin it, or for its next attempt."""
        return self.admission == "waits" or self.token_state == "dispatched" or self.retry_at is not None


class RunRow(NamedTuple):
    """A DAG run. ``nodes`` is ``None`` if the query did not read nodes.

    In a root run, ``root`` is the run's own name and ``parent`` is ``None``.
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
    first_started_at: datetime | None
    """The start of the first attempt of the run, or ``None`` if it had only one; ``started_at`` is the last one's."""
    started_by: str
    """Who asked for the run; empty for runs older than this column."""
    scheduled_at: datetime | None
    """The scheduled time that the run is for; ``None`` if no schedule started it, or it is older than this column."""
    trace: str
    """The traceparent of the request that started the run; empty for runs older than this column."""
    asked_as: str
    """The parameters that a sub-run was called with, secrets masked with ``*``; empty for a root run."""
    root: RunName
    parent: RunName | None
    nodes: tuple[NodeRow, ...] | None

    @property
    def shown_params(self) -> tuple[tuple[str, str], ...]:
        """``params``, secrets masked with ``*``."""
        return show_params(self.params, self.asked_as)

    def shown_node(self, name: str) -> NodeRow | None:
        """Return the step, handler or follow-up with this name, or ``None`` if the run, read with nodes, has none."""
        # Steps come before handlers: a step that has the name of a handler is found first.
        return next((each for each in self.nodes or () if each.name == name and each.kind != "prepare"), None)


class ListedRunRow(NamedTuple):
    """A run in a list. Data cached for one ``version`` of a run is valid as long as the run has that version."""

    run_key: str
    version: int
    created_at: datetime
    dag_run_id: str


class TransitionRow(NamedTuple):
    """One change of status: of the node with index ``node``, or of the run itself if ``node`` is ``None``."""

    seq: int
    at: datetime
    node: int | None
    node_name: str | None
    was: str
    became: str
    why: str
    by: str


class LogHits(NamedTuple):
    """The numbers of lines (the first line is 0) that contain a text, in order.

    ``end`` is the number of the first line that was not searched, ``total`` the number of lines of the whole log.
    """

    lines: tuple[int, ...]
    end: int
    total: int


class LogWindow(NamedTuple):
    """Lines of a log from line ``offset`` on (the first line is 0): bytes without line ends.

    ``total`` is the number of lines of the whole log.
    """

    lines: tuple[bytes, ...]
    offset: int
    total: int


class TaskRow(NamedTuple):
    """An open attempt of a worker."""

    run: RunName
    root: RunName
    parent: RunName | None
    node_name: str
    state: AttemptState
    worker_id: str
    dispatched_at: datetime | None
    started_at: datetime | None


_LISTED_FOR = timedelta(hours=1)


class WorkerRow(NamedTuple):
    """A worker that has sent a heartbeat. ``state``: live, draining, stopped or lost, by its heartbeats."""

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
    drained_at: datetime | None = None
    drained_by: str = ""
    drain_reason: str = ""
    settings: Mapping[str, tuple[str, str]] | None = None
    """The settings that the worker reports, see ``ReportedSettings``."""

    def believed_state(self, now: datetime) -> str:
        """Return the state: ``lost`` after the end of the lease, ``draining`` while the worker is drained."""
        return believed_state(self.state, self.lease_until, self.drained_at, now)

    def takes_work(self, now: datetime) -> bool:
        """Return whether the worker takes new runs: it is live, not drained, and its lease has not ended."""
        return self.believed_state(now) == LIVE

    def is_recent(self, now: datetime) -> bool:
        """Return whether lists of workers have it: those that sent a heartbeat within the last hour."""
        return self.heartbeat_at > now - _LISTED_FOR

    @property
    def busy_slots(self) -> int:
        """How many slots are taken: as the last heartbeat said, or more if more attempts have started since."""
        running = sum(task.state is AttemptState.RUNNING for task in self.tasks)
        return min(self.slots, max(self.busy, running))


class RunningWorker(NamedTuple):
    """A worker whose lease has not ended. ``draining``: it takes no new runs."""

    labels: Mapping[str, str]
    draining: bool = False


class ServiceRow(NamedTuple):
    """A scheduler instance that has sent a heartbeat."""

    kind: str
    instance_id: str
    host: str
    version: str
    started_at: datetime
    heartbeat_at: datetime
    settings: Mapping[str, tuple[str, str]] | None = None
    """The settings that the instance reports, see ``ReportedSettings``."""


class QueuePlace(NamedTuple):
    """What the place of a queued run in the order of admission follows from."""

    priority: int
    queued_at: datetime
    run_key: str

    @classmethod
    def of(cls, run: RunRow) -> "QueuePlace":
        """Return that of a queued run."""
        return cls(run.priority, run.queued_at or run.created_at, run.run_key)


class QueueRow(NamedTuple):
    """A queue. ``queued`` is in order of admission.

    ``running`` and ``queued`` may be cut off at a limit; the two counts are of all runs.
    """

    name: str
    kind: str
    max_concurrency: int | None
    running_count: int
    queued_count: int
    running: tuple[RunRow, ...]
    queued: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class ActiveCounts:
    """How many DAGs there are, how many of their specs have errors, and how many root runs are running and queued."""

    dags: int
    faulty_dags: int = 0
    running: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The number of running runs by DAG name; DAGs without running runs are left out."""
    queued: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The number of queued runs by DAG name; DAGs without queued runs are left out."""


class CommandRow(NamedTuple):
    """The outcome of a command."""

    command_id: str
    type: str
    body_hash: str
    outcome: str
    reply: Any
    at: datetime
