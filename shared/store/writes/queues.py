"""Queues and the runs in them, as a transaction reads and writes them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.queries.queue_sharing import borrowers, lenders
from shared.store.queries.runs import QUEUED, RUNNING
from shared.store.queries.workers import takes_work
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["QueueWrites"]


class QueueWrites(Writer):
    """Queues, their limits, their queued and their running runs."""

    __slots__ = ()

    def lock(self, name: str) -> FoundRow | None:
        """Return and lock one queue: this lock serialises admission to it."""
        return self._first(for_update(select(t.queues).where(t.queues.c.name == name)))

    def put(self, name: str, max_concurrency: int | None) -> None:
        """Make a queue global with that limit, or (``None``) a DAG's own again."""
        kind = "dag-based" if max_concurrency is None else "global"
        row = {"name": name, "kind": kind, "max_concurrency": max_concurrency}
        self._put(t.queues, [row], ["kind", "max_concurrency"])

    def global_queues(self, names: Sequence[str]) -> set[str]:
        """Return which of these are global."""
        q = t.queues.c
        query = select(q.name).where(q.name.in_(names), q.kind == "global")
        return set(self._connection.execute(query).scalars())

    def limits(self) -> dict[str, FoundRow]:
        """Return where the limits of global queues come from, by queue name."""
        return {row["name"]: row for row in self._rows(select(t.queue_limits))}

    def put_limit(self, row: NewRow) -> None:
        """Record where a queue's limit comes from."""
        self._put(t.queue_limits, [row], ["configured", "updated_at", "by"])

    def busy(self) -> dict[str, int]:
        """Return how many runs are queued in each queue that has any."""
        r = t.dag_runs.c
        query = select(r.queue, func.count().label("waiting")).where(r.status == QUEUED).group_by(r.queue)
        return {str(row.queue): int(row.waiting) for row in self._connection.execute(query)}

    def places_taken(self, name: str) -> int:
        """Count the running runs of a queue, without those that lend their place to a run they called."""
        runs = t.dag_runs.c
        mine = (runs.queue == name, runs.status == RUNNING, runs.run_key.not_in(lenders([name])))
        return int(self._connection.execute(select(func.count()).select_from(t.dag_runs).where(*mine)).scalar_one())

    def borrowers(self, name: str) -> dict[str, str]:
        """Return the queued runs of a queue that may take the place of a run above them, and of which run."""
        return {row.key: row.above for row in self._connection.execute(borrowers([name]))}

    def candidates(
        self,
        name: str,
        priority: int,
        *,
        beyond: tuple[datetime, str] | None,
        without_dags: Sequence[str],
        limit: int,
        only: Sequence[str] = (),
    ) -> list[FoundRow]:
        """Return queued runs of one priority in their order, those after ``beyond``, with what holds them."""
        r, h = t.dag_runs.c, t.run_holds.c
        after = t.dag_runs.alias("after")
        where: list[ColumnElement[bool]] = [r.queue == name, r.status == QUEUED, r.priority == priority]
        if beyond is not None:
            at, key = beyond
            where.append(or_(r.queued_at > at, and_(r.queued_at == at, r.run_key > key)))
        if only:
            where.append(r.run_key.in_(only))
        if without_dags:
            where.append(func.coalesce(r.file_name, "").not_in(without_dags))
        query = (
            select(
                r.run_key,
                r.dag_name,
                r.file_name,
                r.spec_hash,
                r.queued_at,
                r.priority,
                h.wait_s,
                h.not_before,
                after.c.run_key.label("after_key"),
                after.c.status.label("after_status"),
                after.c.finished_at.label("after_finished_at"),
            )
            .select_from(
                t.dag_runs.outerjoin(t.run_holds, h.run_key == r.run_key).outerjoin(
                    after, after.c.run_key == h.after_key
                )
            )
            .where(*where)
        )
        return self._rows(query.order_by(r.queued_at, r.run_key).limit(limit))

    def worker_labels(self, now: datetime) -> list[dict[str, str]]:
        """Return the labels of each worker that takes work."""
        return list(self._connection.execute(select(t.workers.c.labels).where(takes_work(now))).scalars())

    def rename_dag(self, old: str, new: str) -> None:
        """Give the queued runs of a DAG its new file name."""
        r = t.dag_runs.c
        queued = (r.status == QUEUED, func.coalesce(r.file_name, "") == old)
        self._connection.execute(update(t.dag_runs).where(*queued).values(file_name=new))
