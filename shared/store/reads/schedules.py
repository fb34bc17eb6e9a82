"""Reads of fires, pauses, and the reasons why queued runs wait."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, literal_column, or_, select, tuple_

from shared.admission.runs import OpenPause
from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.queries.pauses import IS_OPEN
from shared.store.queries.queue_sharing import BORROWERS, LENDERS
from shared.store.queries.runs import OF_DAG_NEWEST_FIRST, RUNNING, of_dag
from shared.store.queries.workers import takes_work
from shared.store.queries.workspaces import RESERVED, gathered
from shared.store.reads.base import AnySelect, Reader, columns_of

__all__ = ["FirePlace", "FireRow", "FireTime", "HoldRow", "PauseRow", "QueueFacts", "ScheduleReads", "WaitFacts"]

_NAMED = 5
"""How many running runs of a queue are named."""


class FirePlace(NamedTuple):
    """The place of a fire in a list, which is sorted by time, newest first, then by file name and kind."""

    slot_at: datetime
    file_name: str
    kind: str


class FireRow(NamedTuple):
    """A fire: the outcome of the scheduled time ``slot_at``: fired, skipped or missed.

    If ``until_at`` is set, the row stands for all scheduled times from ``slot_at`` to ``until_at``.
    """

    file_name: str
    kind: str
    slot_at: datetime
    until_at: datetime | None
    expression: str
    outcome: str
    reason: str
    dag_name: str
    dag_run_id: str | None
    decided_at: datetime

    @property
    def place(self) -> FirePlace:
        return FirePlace(self.slot_at, self.file_name, self.kind)


@dataclass(frozen=True, slots=True)
class FireTime:
    """When a fire was due, and its outcome; ``until_at`` as in ``FireRow``. ``count`` DAGs had this one."""

    slot_at: datetime
    until_at: datetime | None
    expression: str
    outcome: str
    count: int = 1


class PauseRow(NamedTuple):
    """An open pause.

    ``in_flight``: how many runs in its scope are running. ``estimate_s``: estimated seconds until all of these end,
    or ``None`` if unknown.
    """

    scope: str
    name: str
    paused_at: datetime
    paused_by: str
    reason: str
    in_flight: int = 0
    estimate_s: float | None = None


class QueueFacts(NamedTuple):
    """The limit of a queue (``None`` for a DAG's own queue), and its running runs.

    ``running`` has the first few as ``name/id``; ``running_count`` counts all. A run that lends its place to a
    sub-run is neither named nor counted.
    """

    limit: int | None
    running_count: int
    running: tuple[str, ...]


class HoldRow(NamedTuple):
    """Why a queued run may not be admitted yet: it waits for a time or for another run.

    It waits until ``not_before``, or until ``wait_s`` seconds after the run ``after`` (``name/id``) has ended.
    """

    not_before: datetime | None
    after: str | None
    after_status: str | None
    after_finished_at: datetime | None
    wait_s: int


@dataclass(frozen=True, slots=True)
class WaitFacts:
    """The state that says why queued runs wait, from one snapshot."""

    pauses: tuple[PauseRow, ...]
    queues: Mapping[str, QueueFacts]
    labels: tuple[Mapping[str, str], ...]
    """The labels of each worker that takes work."""
    holds: Mapping[str, HoldRow]
    """By the key of the queued run."""
    borrowers: frozenset[str]
    """The keys of queued runs that may take the place of a running run above them, in the same queue."""
    quota: tuple[int, int] | None = None
    """How many root runs of the reader's workspace are running, and how many may; ``None``: any number."""
    reserved: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The workspaces that each reserved worker pool serves."""


_p = t.pauses.c
_PAUSE = (_p.scope, _p.name, _p.paused_at, _p.paused_by, _p.reason)
# Built once: each page of DAGs reads the open pauses.
_OPEN_PAUSES = select(*_PAUSE).where(IS_OPEN).order_by(_p.scope.desc(), _p.name)
_NOT_FIRED = t.cron_slots.c.outcome != literal_column("'fired'")
"""The condition of a partial index, as SQLite needs it."""
_after = t.dag_runs.alias("after")
_HOLDS = (
    select(t.run_holds, _after.c.dag_name, _after.c.dag_run_id, _after.c.status, _after.c.finished_at)
    .select_from(t.run_holds.outerjoin(_after, _after.c.run_key == t.run_holds.c.after_key))
    .where(t.run_holds.c.run_key.in_(bindparam("run_keys", expanding=True)))
)


class ScheduleReads(Reader):
    """Reads of fires, pauses, and the reasons why runs wait."""

    def fires(
        self,
        file_name: str = "",
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        behind: FirePlace | None = None,
        outcome: str = "",
        limit: int = 100,
    ) -> tuple[FireRow, ...]:
        """Return the fires of a DAG, or of all, newest first, with ``since <= slot_at < before``.

        ``behind``: only those that come after this place in the list.
        """
        c = t.cron_slots.c
        query = select(*columns_of(t.cron_slots, FireRow)).where(
            c.file_name == file_name if file_name else self._ours(c.file_name)
        )
        if since is not None:
            query = query.where(c.slot_at >= since)
        if before is not None:
            query = query.where(c.slot_at < before)
        if behind is not None:
            later_name = tuple_(c.file_name, c.kind) > tuple_(behind.file_name, behind.kind)
            query = query.where(c.slot_at <= behind.slot_at, or_(c.slot_at < behind.slot_at, later_name))
        if outcome:
            query = query.where(c.outcome == outcome)
            if outcome != "fired":
                query = query.where(_NOT_FIRED)
        with self._statement() as connection:
            rows = connection.execute(query.order_by(c.slot_at.desc(), c.file_name, c.kind).limit(limit))
            return tuple(FireRow(*row) for row in rows)

    def fire_times(
        self, file_name: str, since: datetime, until: datetime, *, most: int = 50_000
    ) -> tuple[FireTime, ...]:
        """Return the fires of a DAG's start schedule with ``since <= slot_at < until``, in order, ``most`` at most."""
        c = t.cron_slots.c
        query = select(c.slot_at, c.until_at, c.expression, c.outcome).where(
            c.file_name == file_name, c.kind == "start", c.slot_at >= since, c.slot_at < until
        )
        with self._statement() as connection:
            return tuple(FireTime(*row) for row in connection.execute(query.order_by(c.slot_at).limit(most)))

    def fire_counts(self, since: datetime, until: datetime, *, most: int = 150_000) -> tuple[FireTime, ...]:
        """Return the fires of all start schedules with ``since <= slot_at < until``: one for each time and outcome."""
        c = t.cron_slots.c
        # The expression matters only where it says which times the row stands for.
        expression = case((c.until_at.is_not(None), c.expression), else_=literal_column("''")).label("expression")
        query = (
            select(c.slot_at, c.until_at, expression, c.outcome, func.count())
            .where(c.kind == "start", c.slot_at >= since, c.slot_at < until, self._ours(c.file_name))
            .group_by(c.slot_at, c.until_at, expression, c.outcome)
            .limit(most)
        )
        with self._statement() as connection:
            return tuple(FireTime(*row) for row in connection.execute(query))

    def next_fire_at(self, file_name: str) -> datetime | None:
        """Return the next scheduled time of a DAG, or ``None`` if there is none."""
        c = t.schedules.c
        with self._statement() as connection:
            return connection.execute(select(c.next_fire_at).where(c.file_name == file_name)).scalar()

    def open_pauses(self) -> tuple[PauseRow, ...]:
        """Return the open pauses, without counts: pauses of queues, then the global pause, then pauses of DAGs."""

        def covering() -> AnySelect:
            return select(*_PAUSE).where(IS_OPEN, self._covers_ours()).order_by(_p.scope.desc(), _p.name)

        rows = self._prepared("open pauses", covering).rows(self._engine)
        return tuple([PauseRow(*row) for row in rows])

    def _covers_ours(self) -> ColumnElement[bool]:
        """Return the condition that a pause covers runs of the reader's workspace."""
        return or_(self._ours(_p.name), _p.scope == "global")

    def pauses(self, now: datetime) -> tuple[PauseRow, ...]:
        """Return the open pauses, with the number of running runs and an estimate of when they end.

        The estimate uses the mean duration of the last five succeeded root runs of each DAG. Sub-runs have none of
        their own: they end before their root run.
        """
        r = t.dag_runs.c
        with self._snapshot() as connection:
            shown = select(*_PAUSE).where(IS_OPEN, self._covers_ours())
            rows = connection.execute(shown.order_by(_p.scope, _p.name)).all()
            running = connection.execute(
                select(r.queue, r.file_name, r.dag_name, r.started_at, r.root_key).where(
                    r.status == RUNNING, self._ours(r.dag_name)
                )
            ).all()
            usual: dict[str, float | None] = {}
            for name in sorted({row.dag_name for row in running if row.root_key is None})[:50] if rows else []:
                past = connection.execute(
                    select(r.started_at, r.finished_at)
                    .where(of_dag(name), r.root_key.is_(None), r.status == "succeeded")
                    .order_by(*OF_DAG_NEWEST_FIRST)
                    .limit(5)
                ).all()
                spans = [(one.finished_at - one.started_at).total_seconds() for one in past if one.started_at]
                usual[name] = sum(spans) / len(spans) if spans else None
        found = []
        for row in rows:
            pause = OpenPause(row.scope, row.name)
            mine = [one for one in running if pause.covers(one.queue, one.file_name)]
            roots = [one for one in mine if one.root_key is None]
            left = [
                max(0.0, mean - (now - one.started_at).total_seconds())
                for one in roots
                if (mean := usual.get(one.dag_name)) is not None and one.started_at is not None
            ]
            known = len(left) == len(roots) and bool(roots) == bool(mine)
            estimate = max(left, default=0.0) if known else None
            found.append(PauseRow(*row, len(mine), estimate))
        return tuple(found)

    def wait_facts(self, run_keys: Iterable[str], queues: Iterable[str], now: datetime) -> WaitFacts:
        """Return the state that says why these runs wait. They are queued in ``queues``."""
        keys, names = sorted(set(run_keys)), sorted(set(queues))
        q, r = t.queues.c, t.dag_runs.c
        with self._snapshot() as connection:
            pauses = connection.execute(_OPEN_PAUSES).all()
            limit_rows = connection.execute(select(q.name, q.max_concurrency).where(q.name.in_(names)))
            limits: dict[str, int | None] = {row.name: row.max_concurrency for row in limit_rows}
            # Runs admitted together have the same ``started_at``: then the order is by name.
            order = (r.started_at, bytewise(r.dag_name), bytewise(r.dag_run_id))
            place = func.row_number().over(partition_by=r.queue, order_by=order).label("place")
            total = func.count().over(partition_by=r.queue).label("total")
            ranked = select(r.queue, r.dag_name, r.dag_run_id, place, total)
            takes_place = r.run_key.not_in(LENDERS)
            ranked_rows = ranked.where(r.status == RUNNING, r.queue.in_(names), takes_place).subquery()
            running = connection.execute(
                select(ranked_rows).where(ranked_rows.c.place <= _NAMED).order_by(ranked_rows.c.place),
                {"queues": names},
            ).all()
            labels = connection.execute(select(t.workers.c.labels).where(takes_work(now))).scalars().all()
            holds = connection.execute(_HOLDS, {"run_keys": keys}).all()
            borrowing = connection.execute(BORROWERS, {"queues": names}).all()
            quota = self._quota(connection) if self._workspace else None
            reserved = gathered(connection.execute(RESERVED))
        facts = {}
        for name in names:
            mine = [row for row in running if row.queue == name]
            shown = tuple(f"{row.dag_name}/{row.dag_run_id}" for row in mine)
            facts[name] = QueueFacts(limits.get(name), mine[0].total if mine else 0, shown)
        return WaitFacts(
            tuple(PauseRow(*row) for row in pauses),
            facts,
            tuple(labels),
            {
                row.run_key: HoldRow(
                    row.not_before,
                    None if row.dag_name is None else f"{row.dag_name}/{row.dag_run_id}",
                    row.status,
                    row.finished_at,
                    row.wait_s,
                )
                for row in holds
            },
            frozenset(row.key for row in borrowing),
            quota,
            reserved,
        )

    def _quota(self, connection: Connection) -> tuple[int, int] | None:
        w, r = t.workspaces.c, t.dag_runs.c
        limit = connection.execute(select(w.max_running).where(w.name == self._workspace)).scalar_one_or_none()
        if limit is None:
            return None
        mine = (r.status == RUNNING, r.root_key.is_(None), self._ours(r.queue))
        count = select(func.count()).select_from(t.dag_runs).where(*mine)
        return connection.execute(count).scalar_one(), limit
