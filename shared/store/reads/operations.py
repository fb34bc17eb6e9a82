"""Reads for operators: workers, schedulers, queues, counts of active runs, outcomes of commands."""

from datetime import datetime
from types import MappingProxyType

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    or_,
    select,
    union_all,
)

from shared.admission.runs import PRIORITIES, admission_order, behind
from shared.status import AttemptState, RunStatus
from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.queries.dags import FAULTY
from shared.store.queries.matching import among
from shared.store.queries.runs import BY_DAG, IS_ROOT, QUEUED, RUNNING
from shared.store.queries.schedulers import IS_SCHEDULER
from shared.store.reads.base import AnyRow, AnySelect, Reader, columns_of
from shared.store.reads.rows import (
    ActiveCounts,
    CommandRow,
    QueuePlace,
    QueueRow,
    RunName,
    RunRow,
    ServiceRow,
    TaskRow,
    WorkerRow,
)
from shared.store.reads.run_rows import run_from_row, select_runs

__all__ = ["OpsReads"]

_DAG_BASED = "dag-based"

_r = t.dag_runs.c
_n = t.nodes.c


class OpsReads(Reader):
    """Reads of the state of the whole system."""

    def workers(self) -> tuple[WorkerRow, ...]:
        """Return every known worker with its open attempts, sorted by worker id."""
        w = t.workers.c
        with self._snapshot() as connection:
            tasks: dict[str, list[TaskRow]] = {}
            for task in _tasks(connection, self._ours(_r.dag_name)):
                tasks.setdefault(task.worker_id, []).append(task)
            columns = [column for column in t.workers.c if column.name in WorkerRow._fields]
            rows = connection.execute(select(*columns).order_by(bytewise(w.worker_id))).all()
        return tuple(
            WorkerRow(**row._asdict())._replace(
                executors=tuple(row.executors or ()),
                tasks=tuple(tasks.get(row.worker_id, ())),
                drained_by=row.drained_by or "",
                drain_reason=row.drain_reason or "",
            )
            for row in rows
        )

    def schedulers(self, *, since: datetime) -> tuple[ServiceRow, ...]:
        """Return the schedulers whose last heartbeat was at ``since`` or later, sorted by id."""
        s = t.services.c
        query = (
            select(*columns_of(t.services, ServiceRow))
            .where(IS_SCHEDULER, s.heartbeat_at >= since)
            .order_by(bytewise(s.instance_id))
        )
        with self._statement() as connection:
            return tuple(ServiceRow(*row) for row in connection.execute(query))

    def queues(self, *, limit: int = 1000, name: str = "") -> tuple[QueueRow, ...]:
        """Return every queue, or that of this name, with up to ``limit`` running and ``limit`` queued root runs each.

        They are sorted by name.
        """
        queues, ours = select(t.queues).where(self._ours(t.queues.c.name)), self._ours(_r.queue)
        if name:
            queues, ours = queues.where(t.queues.c.name == name), and_(ours, _r.queue == name)
        with self._snapshot() as connection:
            kinds = {row.name: (row.kind, row.max_concurrency) for row in connection.execute(queues)}
            counts = _queue_counts(connection, ours)
            running = _running_in_queues(connection, limit, ours)
            lines = {name: count for (name, status), count in counts.items() if status is RunStatus.QUEUED}
            # To read all runs of a long queue would take longer than to walk over its first ones.
            long = [name for name, count in lines.items() if count > limit > 0]
            queued: dict[str, list[RunRow]] = {name: _first_in(connection, name, None, limit) for name in long}
            if limit and len(long) < len(lines):
                short = and_(ours, _r.queue.in_(sorted(lines.keys() - long))) if long else ours
                every = select_runs().where(_r.status == QUEUED, IS_ROOT, short)
                for run in _in_order(connection, every):
                    queued.setdefault(run.queue, []).append(run)
        names = sorted({*kinds, *(name for name, _ in counts)})
        return tuple(
            QueueRow(
                name,
                *kinds.get(name, (_DAG_BASED, None)),
                running_count=counts.get((name, RunStatus.RUNNING), 0),
                queued_count=counts.get((name, RunStatus.QUEUED), 0),
                running=tuple(running.get(name, ())),
                queued=tuple(queued.get(name, ())),
            )
            for name in names
        )

    def queued_runs(self, queue: str, *, after: QueuePlace | None = None, limit: int) -> tuple[RunRow, ...]:
        """Return the first queued root runs of a queue in the order of admission; with ``after``, those behind it."""
        with self._statement() as connection:
            return tuple(_first_in(connection, queue, after, limit))

    def active_counts(self) -> ActiveCounts:
        """Return how many root runs are running and queued, by DAG, and how many DAGs there are in all. Cheap."""
        with self._snapshot() as connection:
            faulty = func.count(case((FAULTY, 1)))
            count = select(func.count(), faulty).select_from(t.dags).where(self._ours(t.dags.c.file_name))
            ours = self._ours(_r.dag_name)
            return ActiveCounts(
                *connection.execute(count).one(),
                _by_dag(connection, RUNNING, ours),
                _by_dag(connection, QUEUED, ours),
            )

    def command(self, command_id: str) -> CommandRow | None:
        """Return the outcome of a command, or ``None`` if none is recorded (yet)."""
        query = select(*columns_of(t.inbox, CommandRow)).where(t.inbox.c.command_id == command_id)
        with self._statement() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else CommandRow(*row)


def _tasks(connection: Connection, ours: ColumnElement[bool]) -> tuple[TaskRow, ...]:
    """Return the open attempts of ``ours`` on all workers, ordered by dispatch time, oldest first."""
    attempt = (_n.name, _n.token_state, _n.token_worker, _n.dispatched_at, _n.started_at)
    query = select_runs(*(column.label(f"node_{column.name}") for column in attempt))
    query = query.join(t.nodes, and_(_n.run_key == _r.run_key, _n.token.is_not(None), _n.token_worker.is_not(None)))
    rows = connection.execute(query.where(ours).order_by(_n.dispatched_at, bytewise(_n.run_key), _n.idx))
    return tuple(_task(row) for row in rows)


def _task(row: AnyRow) -> TaskRow:
    run = run_from_row(row)
    return TaskRow(
        run=RunName(run.dag_name, run.dag_run_id),
        root=run.root,
        parent=run.parent,
        node_name=row.node_name,
        state=AttemptState(row.node_token_state),
        worker_id=row.node_token_worker,
        dispatched_at=row.node_dispatched_at,
        started_at=row.node_started_at,
    )


def _queue_counts(connection: Connection, ours: ColumnElement[bool]) -> dict[tuple[str, RunStatus], int]:
    found: dict[tuple[str, RunStatus], int] = {}
    for status in (RUNNING, QUEUED):
        query = select(_r.queue, _r.status, func.count().label("runs"))
        query = query.where(_r.status == status, IS_ROOT, ours).group_by(_r.queue, _r.status)
        found |= {(row.queue, RunStatus(row.status)): row.runs for row in connection.execute(query)}
    return found


def _running_in_queues(connection: Connection, limit: int, ours: ColumnElement[bool]) -> dict[str, list[RunRow]]:
    if not limit:
        return {}
    order = (_r.started_at, bytewise(_r.run_key))
    place_in_queue = func.row_number().over(partition_by=_r.queue, order_by=order).label("place")
    ranked = select(_r.run_key, place_in_queue).where(_r.status == RUNNING, IS_ROOT, ours).subquery()
    query = select_runs().join(ranked, ranked.c.run_key == _r.run_key).where(ranked.c.place <= limit)
    found: dict[str, list[RunRow]] = {}
    for row in connection.execute(query.order_by(ranked.c.place)):
        found.setdefault(row.queue, []).append(run_from_row(row))
    return found


def _first_in(connection: Connection, queue: str, after: QueuePlace | None, limit: int) -> list[RunRow]:
    """Return the first queued root runs of a queue, or those behind ``after``, in the order of admission."""
    beyond = dict.fromkeys(PRIORITIES) if after is None else behind(after)
    # For each priority a walk over the index from where it begins. Not ``IS_ROOT``, of which Postgres expects so few
    # that it sorts the whole queue.
    waiting = select(_r.run_key).where(_r.status == QUEUED, _r.queue == queue, _r.root_key.is_(None))
    waiting = waiting.order_by(_r.queued_at, bytewise(_r.run_key)).limit(limit)
    parts = []
    for priority, start in beyond.items():
        part = waiting.where(_r.priority == priority)
        if start is not None:
            at, key = start
            # The first condition lets the index be read from there on.
            part = part.where(_r.queued_at >= at, or_(_r.queued_at > at, bytewise(_r.run_key) > key))
        parts.append(select(part.subquery().c.run_key))
    keys = union_all(*parts).scalar_subquery()
    return _in_order(connection, select_runs().where(among(_r.run_key, keys)))[:limit]


def _in_order(connection: Connection, queued: AnySelect) -> list[RunRow]:
    runs = [run_from_row(row) for row in connection.execute(queued)]
    return sorted(runs, key=lambda run: admission_order(QueuePlace.of(run)))


def _by_dag(
    connection: Connection, status: ColumnElement[str], ours: ColumnElement[bool]
) -> MappingProxyType[str, int]:
    name = BY_DAG.label("dag_name")
    query = select(name, func.count().label("runs")).where(_r.status == status, IS_ROOT, ours)
    rows = connection.execute(query.group_by(name))
    return MappingProxyType({row.dag_name: row.runs for row in rows})
