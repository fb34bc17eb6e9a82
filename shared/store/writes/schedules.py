"""What the scheduler asks and writes about schedules, pauses and queues; knows rows, not rules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.reads.runs import BY_DAG, QUEUED, RUNNING
from shared.store.writes.transaction import Tx

__all__ = ["Schedules"]

Row = Mapping[str, Any]
Found = dict[str, Any]

_SAVE = (
    update(t.schedules)
    .where(t.schedules.c.file_name == bindparam("key"))
    .values(
        decided_until=bindparam("new_decided_until"),
        next_fire_at=bindparam("new_next_fire_at"),
        next_start_at=bindparam("new_next_start_at"),
    )
)


class Schedules:
    """Questions within one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    # -- schedules ----------------------------------------------------------------------------

    def claim_due(self, now: datetime, limit: int) -> list[Found]:
        """Return due schedules, longest due first, locked; those that another scheduler has are left out."""
        c = t.schedules.c
        query = select(t.schedules).where(c.next_fire_at.is_not(None), c.next_fire_at <= now)
        return self._rows(for_update(query.order_by(c.next_fire_at, c.file_name).limit(limit), skip_locked=True))

    def next_fire(self) -> datetime | None:
        """Return when the next slot of all is due."""
        c = t.schedules.c
        query = select(c.next_fire_at).where(c.next_fire_at.is_not(None)).order_by(c.next_fire_at).limit(1)
        found: datetime | None = self._tx.connection.execute(query).scalar()
        return found

    def lock(self, file_name: str) -> Found | None:
        """Return and lock one schedule."""
        rows = self._rows(for_update(select(t.schedules).where(t.schedules.c.file_name == file_name)))
        return rows[0] if rows else None

    def lock_all(self, file_names: Sequence[str]) -> dict[str, Found]:
        """Return and lock these schedules, in the order of their names."""
        c = t.schedules.c
        query = select(t.schedules).where(c.file_name.in_(file_names)).order_by(c.file_name)
        return {row["file_name"]: row for row in self._rows(for_update(query))}

    def unknown(self, zone: str, limit: int) -> list[Found]:
        """Return dags whose schedule row is missing, or was made for another version or zone.

        They stay until the transaction ends: those that another one is about to remove are left out.
        """
        d, c = t.dags.c, t.schedules.c
        query = (
            select(d.file_name, d.version, d.summary, d.errors, d.updated_at)
            .select_from(t.dags.outerjoin(t.schedules, c.file_name == d.file_name))
            .where(or_(c.file_name.is_(None), c.dag_version != d.version, c.zone != zone))
        )
        there = query.order_by(d.file_name).limit(limit)
        return self._rows(there.with_for_update(read=True, key_share=True, skip_locked=True, of=t.dags))

    def put(self, rows: Sequence[Row]) -> None:
        """Write schedules whole."""
        self._tx.put(t.schedules, rows, ["dag_version", "zone", "decided_until", "next_fire_at", "next_start_at"])

    def decided(self, rows: Sequence[Row]) -> None:
        """Set how far claimed schedules are decided and when they are due next."""
        if rows:
            values = [
                {
                    "key": row["file_name"],
                    "new_decided_until": row["decided_until"],
                    "new_next_fire_at": row["next_fire_at"],
                    "new_next_start_at": row["next_start_at"],
                }
                for row in rows
            ]
            self._tx.connection.execute(_SAVE, values)

    def dags(self, file_names: Sequence[str]) -> list[Found]:
        """Return what firing needs to know of these dags."""
        d = t.dags.c
        query = select(d.file_name, d.dag_name, d.spec_hash, d.suspended, d.errors, d.version)
        return self._rows(query.where(d.file_name.in_(file_names)))

    def latest_runs(self, file_names: Sequence[str]) -> dict[str, Found]:
        """Return the newest root run of each of these dags, by dag name; one step into an index per dag."""
        wanted = select(t.dags.c.dag_name).where(t.dags.c.file_name.in_(file_names)).distinct().subquery()
        other, r = t.dag_runs.alias("other"), t.dag_runs.c
        newest = (
            select(other.c.run_key)
            .where(other.c.dag_name == wanted.c.dag_name, other.c.root_key.is_(None))
            .order_by(other.c.created_at.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = select(
            r.dag_name, r.dag_run_id, r.status, r.created_at, r.queued_at, r.started_at, r.run_key, r.given
        ).where(r.run_key.in_(select(newest).select_from(wanted)))
        return {row["dag_name"]: row for row in self._rows(query)}

    def running_runs(self, dag_names: Sequence[str]) -> dict[str, list[str]]:
        """Return the keys of the running root runs of these dags, by dag name, oldest first."""
        r = t.dag_runs.c
        query = select(r.dag_name, r.run_key).where(r.status == RUNNING, BY_DAG.in_(dag_names), r.root_key.is_(None))
        found: dict[str, list[str]] = {}
        for name, key in self._tx.connection.execute(query.order_by(r.created_at, r.run_key)):
            found.setdefault(name, []).append(key)
        return found

    def known_slots(self, file_names: Sequence[str], since: datetime) -> set[tuple[str, str, datetime]]:
        """Return ``(file name, kind, slot)`` of what is in the ledger since that slot."""
        c = t.cron_slots.c
        query = select(c.file_name, c.kind, c.slot_at).where(c.file_name.in_(file_names), c.slot_at >= since)
        return {(name, kind, at) for name, kind, at in self._tx.connection.execute(query)}

    def forget_slots(self, before: datetime, limit: int) -> int:
        """Remove old ledger rows, at most ``limit``; return how many."""
        c = t.cron_slots.c
        key = (c.file_name, c.kind, c.slot_at)
        old = self._tx.connection.execute(select(*key).where(c.decided_at < before).limit(limit)).all()
        if old:
            query = delete(t.cron_slots).where(
                c.file_name == bindparam("name"), c.kind == bindparam("what"), c.slot_at == bindparam("slot")
            )
            rows = [{"name": row[0], "what": row[1], "slot": row[2]} for row in old]
            self._tx.connection.execute(query, rows)
        return len(old)

    # -- pauses -------------------------------------------------------------------------------

    def pauses(self) -> list[Found]:
        """Return all pauses, also those that are over."""
        return self._rows(select(t.pauses))

    def rename(self, old: str, new: str) -> None:
        """Let a dag's pause, and its runs that are still queued, follow it to another file name."""
        ps, r = t.pauses.c, t.dag_runs.c
        paused = (ps.scope == "dag", ps.name == old)
        self._tx.connection.execute(delete(t.pauses).where(ps.scope == "dag", ps.name == new))
        self._tx.connection.execute(update(t.pauses).where(*paused).values(name=new))
        queued = (r.status == QUEUED, func.coalesce(r.file_name, "") == old)
        self._tx.connection.execute(update(t.dag_runs).where(*queued).values(file_name=new))

    def version_hash(self, file_name: str, version: int) -> str | None:
        """Return the hash of the text that a dag had in one of its versions."""
        v = t.dag_versions.c
        query = select(v.spec_hash).where(v.file_name == file_name, v.version == version)
        found: str | None = self._tx.connection.execute(query).scalar()
        return found

    def put_pause(self, row: Row) -> None:
        """Write a pause whole."""
        self._tx.put(t.pauses, [row], ["paused_at", "paused_by", "reason", "resumed_at", "catchup"])

    # -- queues -------------------------------------------------------------------------------

    def limits(self) -> dict[str, Found]:
        """Return what is known of global queues, by name."""
        return {row["name"]: row for row in self._rows(select(t.queue_limits))}

    def put_limit(self, row: Row) -> None:
        """Remember where a queue's limit comes from."""
        self._tx.put(t.queue_limits, [row], ["configured", "updated_at", "by"])

    def put_queue(self, name: str, max_concurrency: int | None) -> None:
        """Make a queue global with that limit, or (``None``) a dag's own again."""
        kind = "dag-based" if max_concurrency is None else "global"
        row = {"name": name, "kind": kind, "max_concurrency": max_concurrency}
        self._tx.put(t.queues, [row], ["kind", "max_concurrency"])

    def global_queues(self, names: Sequence[str]) -> set[str]:
        """Return which of these are global."""
        q = t.queues.c
        query = select(q.name).where(q.name.in_(names), q.kind == "global")
        return set(self._tx.connection.execute(query).scalars())

    def candidates(
        self,
        queue: str,
        priority: int,
        *,
        beyond: tuple[datetime, str] | None,
        without_dags: Sequence[str],
        limit: int,
        only: Sequence[str] = (),
    ) -> list[Found]:
        """Return queued runs of one priority in their order, from behind ``beyond`` on, with what holds them."""
        r, h = t.dag_runs.c, t.run_holds.c
        after = t.dag_runs.alias("after")
        where: list[ColumnElement[bool]] = [r.queue == queue, r.status == QUEUED, r.priority == priority]
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

    def busy_queues(self) -> dict[str, int]:
        """Return how many runs each queue with queued ones has waiting."""
        r = t.dag_runs.c
        query = select(r.queue, func.count().label("waiting")).where(r.status == QUEUED).group_by(r.queue)
        return {str(row.queue): int(row.waiting) for row in self._tx.connection.execute(query)}

    def live_labels(self, now: datetime) -> list[dict[str, str]]:
        """Return the labels of each worker that takes work."""
        w = t.workers.c
        return list(
            self._tx.connection.execute(select(w.labels).where(w.state == "live", w.lease_until > now)).scalars()
        )

    def hold(self, row: Row) -> None:
        """Keep a queued run from being admitted for a while."""
        self._tx.insert(t.run_holds, [row])

    def _rows(self, query: Any) -> list[Found]:
        return [dict(row) for row in self._tx.connection.execute(query).mappings()]
