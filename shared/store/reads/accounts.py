"""Reads of users, API keys and webhooks. Hashes are only for comparison; the API never returns them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.reads.base import AnyRow, Reader

__all__ = ["AccountReads", "ApiKeyRow", "UserRow", "WebhookRow"]

_DAGU_PREFIX = 8
"""The characters of an API key that Dagu shows, which are all that is known of an imported one."""


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user who can log in."""

    id: str
    username: str
    role: str
    created_at: datetime
    updated_at: datetime
    password_hash: str = field(repr=False, default="")
    token_version: int = 0
    """The version that a login token must have to be valid."""


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """An API key, with its own role and limits."""

    id: str
    name: str
    description: str
    role: str
    prefix: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None = None
    dags: str = ""
    """Patterns of the names of the DAGs that the key may use, separated by spaces; empty: all."""
    secret_hash: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """The webhook of a DAG: a request with its token starts a run of that DAG."""

    id: str
    file_name: str
    prefix: str
    enabled: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    secret_hash: str = field(repr=False, default="")


class AccountReads(Reader):
    """Reads of users, API keys and webhooks: each read is one indexed row or a short list."""

    def user(self, user_id: str) -> UserRow | None:
        """Return a user by id."""
        return self._user(t.users.c.id == user_id)

    def user_named(self, username: str) -> UserRow | None:
        """Return a user by name."""
        return self._user(t.users.c.username == username)

    def logged_in(self, user_id: str, token_version: int, token_id: str) -> UserRow | None:
        """Return the user of a login token; ``None`` if a new password or role, a deletion or a logout has ended it."""
        ended = select(t.ended_logins.c.token_id).where(t.ended_logins.c.token_id == token_id).exists()
        return self._user(and_(t.users.c.id == user_id, t.users.c.token_version == token_version, ~ended))

    def login_ended(self, token_id: str) -> bool:
        """Return whether a logout has ended a login token."""
        query = select(t.ended_logins.c.token_id).where(t.ended_logins.c.token_id == token_id)
        with self._statement() as connection:
            return connection.execute(query).first() is not None

    def login_wait(self, guesser: str) -> datetime | None:
        """Return when the wait of a guesser ends, which may be in the past; ``None`` if it has no failures."""
        query = select(t.login_failures.c.wait_until).where(t.login_failures.c.guesser == guesser)
        with self._statement() as connection:
            return connection.execute(query).scalar_one_or_none()

    def users(self) -> tuple[UserRow, ...]:
        """Return all users, oldest first."""
        query = select(t.users).order_by(t.users.c.created_at, bytewise(t.users.c.id))
        with self._statement() as connection:
            return tuple(_user(row) for row in connection.execute(query))

    def has_users(self) -> bool:
        """Return whether at least one user exists."""
        with self._statement() as connection:
            return connection.execute(select(t.users.c.id).limit(1)).first() is not None

    def api_keys(self) -> tuple[ApiKeyRow, ...]:
        """Return all API keys, oldest first."""
        with self._statement() as connection:
            query = (
                select(t.api_keys)
                .where(self._ours(t.api_keys.c.name))
                .order_by(t.api_keys.c.created_at, bytewise(t.api_keys.c.id))
            )
            return tuple(_key(row) for row in connection.execute(query))

    def api_key(self, key_id: str) -> ApiKeyRow | None:
        """Return an API key by id."""
        return self._key(and_(t.api_keys.c.id == key_id, self._ours(t.api_keys.c.name)))

    def api_key_by_hash(self, secret_hash: str) -> ApiKeyRow | None:
        """Return the API key whose secret has this hash."""
        return self._key(t.api_keys.c.secret_hash == secret_hash)

    def imported_api_keys(self, secret: str) -> tuple[ApiKeyRow, ...]:
        """Return the API keys imported from Dagu that begin as ``secret`` does: bcrypt hashes cannot be looked up."""
        k = t.api_keys.c
        rows = self._rows(t.api_keys, and_(k.prefix == secret[:_DAGU_PREFIX], k.secret_hash.startswith("$2")))
        return tuple(_key(row) for row in rows)

    def webhooks(self) -> tuple[WebhookRow, ...]:
        """Return all webhooks, sorted by file name."""
        with self._statement() as connection:
            query = select(t.webhooks).where(self._ours(t.webhooks.c.file_name))
            query = query.order_by(bytewise(t.webhooks.c.file_name))
            return tuple(_webhook(row) for row in connection.execute(query))

    def webhook(self, file_name: str) -> WebhookRow | None:
        """Return the webhook of a DAG, or ``None`` if it has none."""
        rows = self._rows(t.webhooks, t.webhooks.c.file_name == file_name)
        return _webhook(rows[0]) if rows else None

    def _user(self, where: ColumnElement[bool]) -> UserRow | None:
        rows = self._rows(t.users, where)
        return _user(rows[0]) if rows else None

    def _key(self, where: ColumnElement[bool]) -> ApiKeyRow | None:
        rows = self._rows(t.api_keys, where)
        return _key(rows[0]) if rows else None

    def _rows(self, table: Any, where: ColumnElement[bool]) -> Sequence[AnyRow]:
        with self._statement() as connection:
            return connection.execute(select(table).where(where)).all()


def _user(row: AnyRow) -> UserRow:
    return UserRow(row.id, row.username, row.role, row.created_at, row.updated_at, row.password_hash, row.token_version)


def _key(row: AnyRow) -> ApiKeyRow:
    return ApiKeyRow(
        row.id,
        row.name,
        row.description,
        row.role,
        row.prefix,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.last_used_at,
        expires_at=row.expires_at,
        dags=row.dags,
        secret_hash=row.secret_hash,
    )


def _webhook(row: AnyRow) -> WebhookRow:
    return WebhookRow(
        row.id,
        row.file_name,
        row.prefix,
        row.enabled,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.last_used_at,
        row.secret_hash,
    )
