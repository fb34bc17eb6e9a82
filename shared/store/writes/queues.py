"""Reads and writes of queues and their runs in a transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import bindparam, exists, func, or_, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.functions import workspace_prefix
from shared.store.queries.queue_sharing import BORROWERS, LENDERS
from shared.store.queries.runs import QUEUED, RUNNING
from shared.store.queries.workers import takes_work
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.workspaces import name_prefix, workspace_of

__all__ = ["QueueWrites"]

# A queue with queued runs has a row: it is written together with the first of them.
_WITH_QUEUED = select(t.queues.c.name).where(
    or_(
        t.queues.c.name.in_(bindparam("names", expanding=True)),
        workspace_prefix(t.queues.c.name).in_(bindparam("prefixes", expanding=True)),
    ),
    exists().where(t.dag_runs.c.queue == t.queues.c.name, t.dag_runs.c.status == QUEUED),
)
_r, _h, _after = t.dag_runs.c, t.run_holds.c, t.dag_runs.alias("after")
_PLACES_TAKEN = (
    select(func.count())
    .select_from(t.dag_runs)
    .where(_r.queue.in_(bindparam("queues", expanding=True)), _r.status == RUNNING, _r.run_key.not_in(LENDERS))
)
_QUEUED_RUNS = (
    select(
        _r.run_key,
        _r.file_name,
        _r.spec_hash,
        _r.queued_at,
        _r.priority,
        _r.root_key,
        _h.wait_s,
        _h.not_before,
        _after.c.status.label("after_status"),
        _after.c.finished_at.label("after_finished_at"),
    )
    .select_from(
        t.dag_runs.outerjoin(t.run_holds, _h.run_key == _r.run_key).outerjoin(_after, _after.c.run_key == _h.after_key)
    )
    .where(_r.queue == bindparam("queue"), _r.status == QUEUED, _r.priority == bindparam("its_priority"))
    .order_by(_r.queued_at, _r.run_key)
)


class QueueWrites(Writer):
    """Reads and writes of queues, their limits, and their queued and running runs."""

    def lock(self, name: str) -> FoundRow | None:
        """Return and lock one queue, or return ``None`` if it does not exist. The lock serialises its admission."""
        return self._first(for_update(select(t.queues).where(t.queues.c.name == name)))

    def put(self, name: str, max_concurrency: int | None) -> None:
        """Set the limit of a queue, which makes it a global queue.

        With ``None`` it has no limit of its own and is dag-based: the ``maxActiveRuns`` of each DAG limits its runs.
        """
        kind = "dag-based" if max_concurrency is None else "global"
        row = {"name": name, "kind": kind, "max_concurrency": max_concurrency}
        self._put(t.queues, [row], ["kind", "max_concurrency"])

    def global_queues(self, names: Sequence[str]) -> set[str]:
        """Return those of ``names`` that are global queues."""
        q = t.queues.c
        query = select(q.name).where(q.name.in_(names), q.kind == "global")
        return set(self._connection.execute(query).scalars())

    def limits(self) -> dict[str, FoundRow]:
        """Return, by queue name, each queue's configured limit and who last changed its limit."""
        return {row["name"]: row for row in self._rows(select(t.queue_limits))}

    def put_limit(self, row: NewRow) -> None:
        """Store a queue's configured limit and who last changed its limit."""
        self._put(t.queue_limits, [row], ["configured", "updated_at", "by"])

    def busy(self) -> list[str]:
        """Return the names of the queues that have queued runs."""
        return list(self._connection.execute(select(_r.queue).where(_r.status == QUEUED).distinct()).scalars())

    def with_queued(self, names: Iterable[str]) -> set[str]:
        """Return those of ``names``, and of the other queues of their workspaces, that have queued runs.

        The queues of the default workspace, which has no quota, are independent of each other.
        """
        wanted = set(names)
        prefixes = {name_prefix(workspace) for name in wanted if (workspace := workspace_of(name))}
        values = {"names": sorted(wanted), "prefixes": sorted(prefixes)}
        return set(self._connection.execute(_WITH_QUEUED, values).scalars())

    def places_taken(self, name: str) -> int:
        """Count the running runs of a queue, without runs that lend their place to a sub-run."""
        return int(self._connection.execute(_PLACES_TAKEN, {"queues": [name]}).scalar_one())

    def borrowers(self, name: str) -> dict[str, str]:
        """Return the queued runs of a queue that may borrow the place of a running run above them.

        The result is ``{key of the queued run: key of the run above it}``.
        """
        return {row.key: row.above for row in self._connection.execute(BORROWERS, {"queues": [name]})}

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
        """Return queued runs of one priority in the order of admission, with the columns of their holds.

        ``beyond``: ``(queued_at, run_key)`` of the last run already seen; only later runs are returned.
        ``without_dags``: file names of DAGs to leave out. ``only``: if not empty, only these run keys.
        """
        query = _QUEUED_RUNS.limit(limit)
        if beyond is not None:
            at, key = beyond
            # The first condition lets the index be read from there on. Without it, each page reads all pages before it.
            query = query.where(_r.queued_at >= at, or_(_r.queued_at > at, _r.run_key > key))
        if only:
            query = query.where(_r.run_key.in_(only))
        if without_dags:
            query = query.where(func.coalesce(_r.file_name, "").not_in(without_dags))
        return self._rows(query, queue=name, its_priority=priority)

    def worker_labels(self, now: datetime) -> list[dict[str, str]]:
        """Return the labels of every worker that takes work."""
        return list(self._connection.execute(select(t.workers.c.labels).where(takes_work(now))).scalars())

    def rename_dag(self, old: str, new: str) -> None:
        """Change the file name in the queued runs of a renamed DAG."""
        r = t.dag_runs.c
        queued = (r.status == QUEUED, func.coalesce(r.file_name, "") == old)
        self._connection.execute(update(t.dag_runs).where(*queued).values(file_name=new))
