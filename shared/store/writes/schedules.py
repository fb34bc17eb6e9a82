"""Reads and writes of schedules and fires in a transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, tuple_

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.store.writes.bulk import Changes, write

__all__ = ["ScheduleWrites"]


class ScheduleWrites(Writer):
    """Reads and writes of the schedules of DAGs and of fires."""

    def claim_due(self, now: datetime, limit: int) -> list[FoundRow]:
        """Return and lock due schedules, longest overdue first. Skips schedules that another scheduler has locked."""
        c = t.schedules.c
        query = select(t.schedules).where(c.next_fire_at.is_not(None), c.next_fire_at <= now)
        return self._rows(for_update(query.order_by(c.next_fire_at, c.file_name).limit(limit), skip_locked=True))

    def next_fire_at(self) -> datetime | None:
        """Return the time at which the next schedule is due, or ``None`` if no schedule has a next fire."""
        c = t.schedules.c
        query = select(c.next_fire_at).where(c.next_fire_at.is_not(None)).order_by(c.next_fire_at).limit(1)
        found: datetime | None = self._connection.execute(query).scalar()
        return found

    def lock(self, file_name: str) -> FoundRow | None:
        """Return and lock the schedule of a DAG, or return ``None`` if it has none."""
        return self._first(for_update(select(t.schedules).where(t.schedules.c.file_name == file_name)))

    def lock_all(self, file_names: Sequence[str]) -> dict[str, FoundRow]:
        """Return and lock the schedules of these DAGs, by file name. Locks in the order of file names."""
        c = t.schedules.c
        query = select(t.schedules).where(c.file_name.in_(file_names)).order_by(c.file_name)
        return {row["file_name"]: row for row in self._rows(for_update(query))}

    def unknown(self, zone: str, limit: int, names: Sequence[str] | None = None) -> list[FoundRow]:
        """Return DAGs whose schedule row is missing or belongs to another version of the DAG or another zone.

        ``names``: which DAGs to look at; ``None`` for all. The DAGs are locked against deletion until the transaction
        ends. Skips DAGs that another transaction is deleting.
        """
        d, c = t.dags.c, t.schedules.c
        query = (
            select(d.file_name, d.version, d.summary, d.errors, d.updated_at)
            .select_from(t.dags.outerjoin(t.schedules, c.file_name == d.file_name))
            .where(or_(c.file_name.is_(None), c.dag_version != d.version, c.zone != zone))
        )
        if names is not None:
            query = query.where(d.file_name.in_(names))
        there = query.order_by(d.file_name).limit(limit)
        return self._rows(there.with_for_update(read=True, key_share=True, skip_locked=True, of=t.dags))

    def put(self, rows: Sequence[NewRow]) -> None:
        """Insert schedules, or replace all columns of existing ones."""
        self._put(t.schedules, rows, ["dag_version", "zone", "decided_until", "next_fire_at", "next_start_at"])

    def save_decided(self, rows: Sequence[NewRow]) -> None:
        """Store, for each locked schedule, the times it is next due, and perhaps the time up to which it is decided.

        ``next_fire_at`` is the next scheduled time of any kind, ``next_start_at`` the next that starts a run.
        """
        write(self._connection, Changes(t.schedules, rows, {"file_name": "file_name"}))

    def dags(self, file_names: Sequence[str]) -> list[FoundRow]:
        """Return the columns of these DAGs that the firing loop needs."""
        d = t.dags.c
        query = select(d.file_name, d.dag_name, d.version, d.spec_hash, d.suspended, d.errors)
        return self._rows(query.where(d.file_name.in_(file_names)))

    def known_fires(self, file_names: Sequence[str], since: datetime) -> set[tuple[str, str, datetime]]:
        """Return ``(file name, kind, scheduled time)`` of the recorded fires of scheduled times since ``since``."""
        c = t.cron_slots.c
        query = select(c.file_name, c.kind, c.slot_at).where(c.file_name.in_(file_names), c.slot_at >= since)
        return {(name, kind, at) for name, kind, at in self._connection.execute(query)}

    def forget_fires(self, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` fires that were decided before ``before``; return how many."""
        c = t.cron_slots.c
        key = (c.file_name, c.kind, c.slot_at)
        old = select(*key).where(c.decided_at < before).limit(limit)
        return self._connection.execute(delete(t.cron_slots).where(tuple_(*key).in_(old))).rowcount

    def add_fires(self, rows: Sequence[NewRow]) -> None:
        """Insert fires. Raises ``AlreadyExists`` if a fire of the same scheduled time is recorded."""
        self._insert(t.cron_slots, rows)

    def add_new_fires(self, rows: Sequence[NewRow]) -> None:
        """Insert fires; skips scheduled times that already have a recorded fire."""
        self._insert_new(t.cron_slots, rows)
