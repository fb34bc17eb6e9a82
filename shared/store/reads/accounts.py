"""Reads of users, API keys and webhooks. Hashes are only for comparison; the API never returns them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, select

from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.reads.base import Reader, columns_of

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
    password_hash: str = field(repr=False)
    token_version: int
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
    expires_at: datetime | None
    dags: str
    """Patterns of the names of the DAGs that the key may use, separated by spaces; empty: all."""
    secret_hash: str = field(repr=False)


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
    secret_hash: str = field(repr=False)


T = TypeVar("T", UserRow, ApiKeyRow, WebhookRow)
_TABLES: Mapping[Any, Table] = {UserRow: t.users, ApiKeyRow: t.api_keys, WebhookRow: t.webhooks}
_SELECT = {kind: select(*columns_of(table, kind)) for kind, table in _TABLES.items()}


class AccountReads(Reader):
    """Reads of users, API keys and webhooks: each read is one indexed row or a short list."""

    def user(self, user_id: str) -> UserRow | None:
        """Return a user by id."""
        return self._found(UserRow, t.users.c.id == user_id)

    def user_named(self, username: str) -> UserRow | None:
        """Return a user by name."""
        return self._found(UserRow, t.users.c.username == username)

    def logged_in(self, user_id: str, token_version: int, token_id: str) -> UserRow | None:
        """Return the user of a login token; ``None`` if a new password or role, a deletion or a logout has ended it."""
        ended = select(t.ended_logins.c.token_id).where(t.ended_logins.c.token_id == token_id).exists()
        return self._found(UserRow, t.users.c.id == user_id, t.users.c.token_version == token_version, ~ended)

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
        return self._all(UserRow, order=(t.users.c.created_at, bytewise(t.users.c.id)))

    def has_users(self) -> bool:
        """Return whether at least one user exists."""
        with self._statement() as connection:
            return connection.execute(select(t.users.c.id).limit(1)).first() is not None

    def api_keys(self) -> tuple[ApiKeyRow, ...]:
        """Return all API keys, oldest first."""
        k = t.api_keys.c
        return self._all(ApiKeyRow, self._ours(k.name), order=(k.created_at, bytewise(k.id)))

    def api_key(self, key_id: str) -> ApiKeyRow | None:
        """Return an API key by id."""
        return self._found(ApiKeyRow, t.api_keys.c.id == key_id, self._ours(t.api_keys.c.name))

    def api_key_by_hash(self, secret_hash: str) -> ApiKeyRow | None:
        """Return the API key whose secret has this hash."""
        return self._found(ApiKeyRow, t.api_keys.c.secret_hash == secret_hash)

    def imported_api_keys(self, secret: str) -> tuple[ApiKeyRow, ...]:
        """Return the API keys imported from Dagu that begin as ``secret`` does: bcrypt hashes cannot be looked up."""
        k = t.api_keys.c
        return self._all(ApiKeyRow, k.prefix == secret[:_DAGU_PREFIX], k.secret_hash.startswith("$2"))

    def webhooks(self) -> tuple[WebhookRow, ...]:
        """Return all webhooks, sorted by file name."""
        name = t.webhooks.c.file_name
        return self._all(WebhookRow, self._ours(name), order=[bytewise(name)])

    def webhook(self, file_name: str) -> WebhookRow | None:
        """Return the webhook of a DAG, or ``None`` if it has none."""
        return self._found(WebhookRow, t.webhooks.c.file_name == file_name)

    def _found(self, kind: type[T], *where: ColumnElement[bool]) -> T | None:
        found = self._all(kind, *where)
        return found[0] if found else None

    def _all(
        self, kind: type[T], *where: ColumnElement[bool], order: Sequence[ColumnElement[Any]] = ()
    ) -> tuple[T, ...]:
        with self._statement() as connection:
            return tuple(kind(*row) for row in connection.execute(_SELECT[kind].where(*where).order_by(*order)))
