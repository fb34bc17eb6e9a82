"""Reads and writes of users, API keys and webhooks in a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, Text, case, cast, delete, func, literal, null, select, text, union_all, update

from shared.contracts.actors import Actor
from shared.contracts.dag_scope import DagScope
from shared.store import tables as t
from shared.store.engine import for_update, insert_ignore, is_postgres
from shared.store.tables.base import UTCDateTime
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["AccountWrites", "StoredActor"]

_ACTOR_TABLES = {"user": t.users, "api_key": t.api_keys, "webhook": t.webhooks}
_w = t.webhooks.c
_FIRST = 0x6669_7273_74
"""The key of the advisory lock of whoever creates the first user: "first" in ASCII."""
_NEVER = cast(null(), UTCDateTime)
_ALL_DAGS = cast(literal(""), Text)
_ACTORS = {
    "user": select(
        literal("user").label("kind"),
        t.users.c.id,
        t.users.c.username.label("name"),
        t.users.c.role,
        _NEVER.label("expires_at"),
        _ALL_DAGS.label("dags"),
    ),
    "api_key": select(
        literal("api_key").label("kind"),
        t.api_keys.c.id,
        (literal("apikey:") + t.api_keys.c.name).label("name"),
        t.api_keys.c.role,
        t.api_keys.c.expires_at,
        t.api_keys.c.dags,
    ),
    "webhook": select(
        literal("webhook").label("kind"),
        _w.id,
        (literal("webhook:") + _w.file_name).label("name"),
        case((_w.enabled, "operator"), else_="").label("role"),
        _NEVER.label("expires_at"),
        _ALL_DAGS.label("dags"),
    ),
}
"""The names are those that the gateway gives its principals."""


@dataclass(frozen=True, slots=True)
class StoredActor:
    """An actor as its row says now. ``expires_at`` and ``dags`` are limits of API keys."""

    actor: Actor
    expires_at: datetime | None
    dags: DagScope


class AccountWrites(Writer):
    """Reads and writes of users, logins that have ended, API keys and webhooks."""

    def users(self) -> int:
        """Return the number of users."""
        return int(self._connection.execute(select(func.count()).select_from(t.users)).scalar_one())

    def lock_first_user(self) -> None:
        """Let no other transaction create the first user until this one ends: while there is none, no row is locked."""
        if is_postgres(self._connection):
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:first)"), {"first": _FIRST})

    def lock(self, table: Table, **where: str) -> FoundRow | None:
        """Return and lock the one row with these column values, if it exists."""
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])
        return self._first(for_update(query))

    def lock_administrators(self) -> None:
        """Lock all users who are administrators of the server, always in the same order."""
        admins = select(t.users.c.id).where(t.users.c.role == "admin").order_by(t.users.c.id)
        self._connection.execute(for_update(admins))

    def actors(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StoredActor]:
        """Return users, API keys and webhooks as actors, by ``(kind, id)``. A disabled webhook has no role.

        One statement; locks nothing.
        """
        ids = {kind: [row_id for each, row_id in keys if each == kind] for kind, _ in keys}
        parts = [_ACTORS[kind].where(_ACTOR_TABLES[kind].c.id.in_(wanted)) for kind, wanted in ids.items()]
        rows = self._connection.execute(union_all(*parts)) if parts else ()
        return {
            (row.kind, row.id): StoredActor(
                Actor(kind=row.kind, id=row.id, name=row.name, role=row.role), row.expires_at, DagScope.parse(row.dags)
            )
            for row in rows
        }

    def add(self, table: Table, row: NewRow) -> None:
        """Insert a row. Raises ``AlreadyExists`` if a row with the same key exists."""
        self._insert(table, [row])

    def change(self, table: Table, row_id: str, values: NewRow) -> None:
        """Set columns of the row with this id."""
        self._connection.execute(update(table).where(table.c.id == row_id).values(dict(values)))

    def touch(self, table: Table, row_id: str, at: datetime) -> None:
        """Record that a credential was used at ``at``, unless a later use is already recorded."""
        newer = (table.c.last_used_at.is_(None)) | (table.c.last_used_at < at)
        self._connection.execute(update(table).where(table.c.id == row_id, newer).values(last_used_at=at))

    def end_login(self, token_id: str, expires_at: datetime) -> None:
        """Record that a login token has ended, if that is not recorded yet."""
        row = {"token_id": token_id, "expires_at": expires_at}
        self._connection.execute(insert_ignore(self._connection, t.ended_logins), [row])

    def forget_logins(self, before: datetime) -> None:
        """Delete the records of login tokens that have expired before this time."""
        self._connection.execute(delete(t.ended_logins).where(t.ended_logins.c.expires_at < before))

    def remove(self, table: Table, row_id: str) -> None:
        """Delete the row with this id."""
        self._connection.execute(delete(table).where(table.c.id == row_id))
