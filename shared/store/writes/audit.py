"""Writes of the audit log: entries, their links, and retention."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text

from shared.audit.chain import BEGINNING, Link, Point
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.functions import database_time
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.store.writes.bulk import Rows

__all__ = ["CHAIN_LOCK", "AuditWrites", "audit_rows"]

CHAIN_LOCK = 0x6461_7564_6974
"""Key of the advisory lock of whoever changes the chain: "daudit" in ASCII."""
_AT = {"at": database_time()}
_l, _a, _u = t.audit_links.c, t.audit.c, t.audit_unlinked.c


def audit_rows(entries: Sequence[NewRow]) -> tuple[Rows, Rows]:
    """Return the rows that add entries, each without ``at``: the database's time. An id that exists is left alone."""
    return (
        Rows(t.audit, entries, "leave", computed=_AT),
        Rows(t.audit_unlinked, [{"entry_id": entry["id"]} for entry in entries], "leave"),
    )


class AuditWrites(Writer):
    """Reads and writes of the chain over the audit log."""

    def lock_chain(self) -> bool:
        """Lock the chain until the transaction ends; return ``False`` if another transaction has locked it."""
        if not is_postgres(self._connection):
            return True
        return bool(self._connection.execute(text(f"SELECT pg_try_advisory_xact_lock({CHAIN_LOCK})")).scalar_one())

    def any_unlinked(self) -> bool:
        """Return whether an entry is not in the chain yet."""
        return self._connection.execute(select(_u.entry_id).limit(1)).first() is not None

    def take_unlinked(self, limit: int) -> list[FoundRow]:
        """Return up to ``limit`` entries that are not in the chain yet, oldest first, and forget that they are not.

        The caller must link them in this transaction, in which it has locked the chain.
        """
        ids = list(self._connection.execute(select(_u.entry_id).order_by(_u.entry_id).limit(limit)).scalars())
        # An entry that was delivered twice may be linked already.
        query = select(t.audit).outerjoin(t.audit_links, _l.entry_id == _a.id).where(_a.id.in_(ids))
        found = self._rows(query.where(_l.entry_id.is_(None)).order_by(_a.at, _a.id)) if ids else []
        self._connection.execute(delete(t.audit_unlinked).where(_u.entry_id.in_(ids)))
        return found

    def end_of_chain(self) -> Point:
        """Return the last link's position and hash."""
        query = select(_l.position, _l.hash).order_by(_l.position.desc()).limit(1)
        row = self._connection.execute(query).first()
        if row is None:
            row = self._connection.execute(select(t.audit_start.c.position, t.audit_start.c.hash)).first()
        return BEGINNING if row is None else Point(row.position, row.hash)

    def append(self, links: Sequence[Link]) -> None:
        """Store links. Raises ``AlreadyExists`` if a position is taken: the chain was not locked."""
        self._insert(
            t.audit_links,
            [
                {"position": link.position, "entry_id": link.entry_id, "previous": link.previous, "hash": link.hash}
                for link in links
            ],
        )

    def prune(self, keep_days: int, at_most: int) -> int:
        """Remove up to ``at_most`` of the oldest links that are older than ``keep_days``, and their entries.

        Records where the kept chain begins. Returns how many links were removed.
        """
        if is_postgres(self._connection):
            query = select(func.dagway_prune_audit(keep_days, at_most))
            return int(self._connection.execute(query).scalar_one())
        now: datetime = self._connection.execute(select(_AT["at"])).scalar_one()
        return self._prune_here(now.replace(tzinfo=UTC), keep_days, at_most)

    def _prune_here(self, now: datetime, keep_days: int, at_most: int) -> int:
        """Do what the function ``dagway_prune_audit`` does on Postgres: see its migration."""
        query = (
            select(_l.position, _l.entry_id, _l.hash, _a.at)
            .outerjoin(t.audit, _a.id == _l.entry_id)
            .order_by(_l.position)
        )
        old: list[Any] = []
        for row in self._connection.execute(query.limit(at_most)):
            if row.at is not None and row.at >= now - timedelta(days=keep_days):
                break
            old.append(row)
        if not old:
            return 0
        last = old[-1]
        start = {"id": 1, "position": last.position, "hash": last.hash, "at": now}
        self._put(t.audit_start, [start], ["position", "hash", "at"])
        gone = select(_l.entry_id).where(_l.position <= last.position)
        self._connection.execute(delete(t.audit).where(_a.id.in_(gone)))
        self._connection.execute(delete(t.audit_links).where(_l.position <= last.position))
        return len(old)
