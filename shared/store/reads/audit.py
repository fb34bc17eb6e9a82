"""Reads of the audit log, for the API and for its verification."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, literal_column, or_, select, tuple_, union

from shared.audit.chain import BEGINNING, FIELDS, Break, Link, Point, walk
from shared.store import tables as t
from shared.store.reads.base import AnyRow, Reader

__all__ = ["AuditFilter", "AuditPlace", "AuditReads", "AuditRow", "Verified"]

_a, _l, _u, _s = t.audit.c, t.audit_links.c, t.audit_unlinked.c, t.audit_start.c
_ENTRY = [_a[name] for name in FIELDS]
_AT_ONCE = 2000
_DONE, _ANY_REFUSAL = "done", "refused"
_REFUSED: ColumnElement[bool] = literal_column("audit.outcome = 'refused'")
"""A literal, because SQLite does not use a partial index for a bound parameter."""


class AuditPlace(NamedTuple):
    """The place of an entry in the list of all entries, which is sorted by time and id."""

    at: datetime
    id: str


class AuditFilter(NamedTuple):
    """Which entries to return; ``None`` does not filter. ``actor`` and ``target`` are names or ids.

    ``outcome`` is ``done``, ``refused`` or the error code of a refusal. Entries are from ``since`` on and before
    ``until``.
    """

    actor: str | None = None
    target: str | None = None
    target_kind: str | None = None
    operation: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def name_or_id(self) -> tuple[ColumnElement[bool], ...]:
        """Return two conditions of which an entry has to meet one, or none if neither actor nor target is asked for."""
        if self.target is not None:
            return _a.target_name == self.target, _a.target_id == self.target
        if self.actor is not None:
            return _a.actor_name == self.actor, _a.actor_id == self.actor
        return ()

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield the other conditions, all of which an entry has to meet."""
        if self.actor is not None and self.target is not None:
            yield or_(_a.actor_name == self.actor, _a.actor_id == self.actor)
        if self.target_kind is not None:
            yield _a.target_kind == self.target_kind
        if self.operation is not None:
            yield _a.operation == self.operation
        if self.outcome == _DONE:
            yield _a.outcome == _DONE
        elif self.outcome is not None:
            yield _REFUSED
            if self.outcome != _ANY_REFUSAL:
                yield _a.code == self.outcome
        if self.since is not None:
            yield _a.at >= self.since
        if self.until is not None:
            yield _a.at < self.until


class AuditRow(NamedTuple):
    """One entry. ``position`` and ``hash`` are ``None`` while it is not in the chain yet."""

    id: str
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    actor_role: str
    address: str
    request_id: str
    command_id: str
    operation: str
    target_kind: str
    target_name: str
    target_id: str
    outcome: str
    code: str
    occurrences: int
    before: dict[str, Any]
    after: dict[str, Any]
    position: int | None
    hash: str | None

    @property
    def place(self) -> AuditPlace:
        return AuditPlace(self.at, self.id)


class Verified(NamedTuple):
    """What a verification found. ``broken`` is ``None`` if the chain holds from ``start`` to ``end``."""

    start: Point
    end: Point
    links: int
    waiting: int
    """How many entries are not in the chain yet."""
    broken: Break | None


class AuditReads(Reader):
    """Reads of the audit log."""

    def audit(self, asked: AuditFilter, *, before: AuditPlace | None = None, limit: int) -> tuple[AuditRow, ...]:
        """Return the newest entries that fit, newest first; with ``before``, those behind that place."""
        query = select(*_ENTRY, _l.position, _l.hash).outerjoin(t.audit_links, _l.entry_id == _a.id)
        where = list(asked.conditions())
        if before is not None:
            where.append(tuple_(_a.at, _a.id) < tuple_(before.at, before.id))
        newest = (_a.at.desc(), _a.id.desc())
        if either := asked.name_or_id():
            # Each has an index. With both in one condition, Postgres walks over the log until it has found enough.
            found = [select(_a.id).where(one, *where).order_by(*newest).limit(limit).subquery() for one in either]
            query = query.where(_a.id.in_(union(*(select(one.c.id) for one in found))))
        else:
            query = query.where(*where)
        with self._statement() as connection:
            rows = connection.execute(query.order_by(*newest).limit(limit))
            return tuple(map(AuditRow._make, rows))

    def verify_audit(self, contains: Point | None = None) -> Verified:
        """Recompute the chain in one snapshot. ``contains``: a point that was noted earlier and must be in the chain.

        Finds the first entry or link that was removed, altered, moved or inserted, and entries that were added without
        the chain. Cannot find entries removed from the end, unless ``contains`` names a point behind them.
        """
        with self._snapshot() as connection:
            begun = connection.execute(select(_s.position, _s.hash)).first()
            start = end = BEGINNING if begun is None else Point(begun.position, begun.hash)
            met = contains is None or contains == start or contains.position < start.position
            count, broken = 0, None
            for found in walk(start, self._links(connection)):
                if isinstance(found, Break):
                    broken = found
                    break
                end, count = found, count + 1
                if contains is not None and found.position == contains.position:
                    met = found == contains
                    if not met:
                        broken = Break(found.position, f"its hash is not {contains.hash}: the chain was written anew")
                        break
            if broken is None and not met and contains is not None:
                broken = Break(contains.position, f"the chain ends at position {end.position}: its end is removed")
            waiting = connection.execute(select(func.count()).select_from(t.audit_unlinked)).scalar_one()
            if broken is None:
                broken = self._stray(connection, end)
        return Verified(start, end, count, waiting, broken)

    def _links(self, connection: Any) -> Iterator[Link]:
        after = -1
        query = select(t.audit_links, *_ENTRY).outerjoin(t.audit, _a.id == _l.entry_id).order_by(_l.position)
        while True:
            rows = connection.execute(query.where(_l.position > after).limit(_AT_ONCE)).all()
            yield from (_link(row) for row in rows)
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].position

    def _stray(self, connection: Any, end: Point) -> Break | None:
        """Return a break if an entry is neither in the chain nor waits for it."""
        query = (
            select(_a.id)
            .outerjoin(t.audit_links, _l.entry_id == _a.id)
            .outerjoin(t.audit_unlinked, _u.entry_id == _a.id)
            .where(_l.entry_id.is_(None), _u.entry_id.is_(None))
            .order_by(_a.at, _a.id)
            .limit(1)
        )
        stray = connection.execute(query).scalar()
        return None if stray is None else Break(end.position + 1, f"entry {stray} is inserted without a link")


def _link(row: AnyRow) -> Link:
    position, entry_id, previous, link_hash, *values = row
    entry = None if values[0] is None else dict(zip(FIELDS, values, strict=True))
    return Link(position, entry_id, previous, link_hash, entry)
