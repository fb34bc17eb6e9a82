"""What a scheduler's transaction knows of workers and of what they hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, and_, func, or_, select, tuple_, update

from shared.store import tables as t
from shared.store.engine import for_update

__all__ = ["Held"]

Row = Mapping[str, Any]
Found = dict[str, Any]
_RUNNING, _DISPATCHED = "running", "dispatched"


def _found(result: CursorResult[Any]) -> list[Found]:
    return [dict(row) for row in result.mappings()]


class Held:
    """The part of ``Tx`` about workers and leases."""

    connection: Connection

    def workers(self, ids: Sequence[str] | None = None) -> list[Found]:
        query = select(t.workers)
        return _found(self.connection.execute(query if ids is None else query.where(t.workers.c.worker_id.in_(ids))))

    def lock_workers(self, ids: Sequence[str]) -> list[Found]:
        """Return and lock these workers, in the order of their ids."""
        c = t.workers.c
        query = select(c.worker_id, c.incarnation, c.state).where(c.worker_id.in_(ids)).order_by(c.worker_id)
        return _found(self.connection.execute(for_update(query)))

    def doubtful_attempts(self, now: datetime) -> list[Found]:
        """Return open attempts whose worker is not believed any more, with what is known of it.

        Its lease ended, or it is in another incarnation by now than the one that runs them.
        """
        c, w = t.nodes.c, t.workers.c
        query = (
            select(c.run_key, c.idx, c.token, c.token_state, c.token_worker, w.state, w.lease_until)
            .select_from(t.nodes.outerjoin(t.workers, c.token_worker == w.worker_id))
            .where(
                c.token.is_not(None),
                c.token_worker.is_not(None),
                or_(
                    w.worker_id.is_(None),
                    w.lease_until < now,
                    and_(c.token_state == _RUNNING, c.token_incarnation != w.incarnation),
                ),
            )
        )
        return _found(self.connection.execute(query))

    def overdue_origins(self, before: datetime) -> list[Found]:
        """Return where tasks that left before then and have not started may wait.

        That is a worker's own route (``token_worker``), or that of their dag's selector (``spec_hash``,
        ``file_name``).
        """
        c, r = t.nodes.c, t.dag_runs.c
        overdue = c.token.is_not(None), c.token_state == _DISPATCHED, c.dispatched_at < before
        query = select(c.token_worker, r.spec_hash, r.file_name).join(t.dag_runs, c.run_key == r.run_key)
        return _found(self.connection.execute(query.where(*overdue).distinct()))

    def overdue_attempts(self, origins: Sequence[Row], before: datetime) -> list[Found]:
        """Return attempts of these origins whose tasks left before then and have not started."""
        c, r = t.nodes.c, t.dag_runs.c
        workers = [row["token_worker"] for row in origins if row["token_worker"] is not None]
        dags = [(row["spec_hash"], row["file_name"] or "") for row in origins if row["token_worker"] is None]
        by_dag = tuple_(r.spec_hash, func.coalesce(r.file_name, "")).in_(dags)
        query = (
            select(c.run_key, c.idx, c.token)
            .join(t.dag_runs, c.run_key == r.run_key)
            .where(c.token.is_not(None), c.token_state == _DISPATCHED, c.dispatched_at < before)
            .where(or_(c.token_worker.in_(workers), and_(c.token_worker.is_(None), by_dag)))
        )
        return _found(self.connection.execute(query))

    def held_attempts(self, worker_ids: Sequence[str]) -> list[Found]:
        """Return the open attempts of these workers, and whether their run is being stopped."""
        c, r = t.nodes.c, t.dag_runs.c
        return _found(
            self.connection.execute(
                select(
                    c.run_key,
                    c.token,
                    c.token_worker,
                    c.token_incarnation,
                    c.token_state,
                    c.kind,
                    c.idx,
                    r.stop_reason,
                    r.spec_hash,
                    r.file_name,
                )
                .select_from(t.nodes.join(t.dag_runs, c.run_key == r.run_key))
                .where(c.token.is_not(None), c.token_worker.in_(worker_ids))
            )
        )

    def open_tokens(self, tokens: Sequence[str]) -> set[str]:
        """Return which of these tokens are open, wherever."""
        return set(self.connection.execute(select(t.nodes.c.token).where(t.nodes.c.token.in_(tokens))).scalars())

    def expire_workers(self, now: datetime) -> list[str]:
        """Mark workers whose lease ended as lost; return their ids."""
        c = t.workers.c
        done = self.connection.execute(
            update(t.workers)
            .where(c.state.in_(["live", "draining"]), c.lease_until < now)
            .values(state="lost")
            .returning(c.worker_id)
        )
        return list(done.scalars())
