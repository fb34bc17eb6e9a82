"""Handlers of the commands about users and API keys."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.contracts.dag_scope import DagScope
from shared.errors import AlreadyExists, NotFound
from shared.login_failures import counted
from shared.store import tables as t
from shared.store.writes.accounts import AccountWrites
from shared.workspaces import NO_ROLE, check_unmarked, workspace_of

__all__ = ["HANDLERS", "without_hashes"]

_HASHES = frozenset({"password_hash", "secret_hash"})
_FAILURES_KEPT = timedelta(days=1)
"""Failed logins that are older, and were not followed by others, are forgotten."""


def _ensure_admin(batch: Batch, command: c.EnsureAdmin) -> dict[str, Any]:
    batch.tx.accounts.lock_first_user()
    if batch.tx.accounts.users():
        return {"created": False}
    return {"created": True, **_create_user(batch, command)}


def _create_user(batch: Batch, command: c.CreateUser) -> dict[str, Any]:
    accounts = batch.tx.accounts
    _check_username(accounts, command.username)
    row = {
        "id": command.user_id,
        "username": command.username,
        "role": NO_ROLE if command.members_only else command.role,
        "password_hash": command.password_hash,
        "created_at": batch.now,
        "updated_at": batch.now,
    }
    accounts.add(t.users, row)
    return {"user": without_hashes(row)}


def _update_user(batch: Batch, command: c.UpdateUser) -> dict[str, Any]:
    accounts = batch.tx.accounts
    row = _user(accounts, command.user_id)
    values: dict[str, Any] = {"updated_at": batch.now}
    if command.username and command.username != row["username"]:
        _check_username(accounts, command.username)
        values["username"] = command.username
    if command.role is not None:
        values["role"] = NO_ROLE if command.members_only else command.role
        if values["role"] != row["role"]:
            values["token_version"] = row["token_version"] + 1
    accounts.change(t.users, command.user_id, values)
    return {"user": without_hashes(row | values)}


def _set_password(batch: Batch, command: c.SetPassword) -> dict[str, Any]:
    accounts = batch.tx.accounts
    row = _user(accounts, command.user_id)
    values = {
        "password_hash": command.password_hash,
        "token_version": row["token_version"] + 1,
        "updated_at": batch.now,
    }
    accounts.change(t.users, command.user_id, values)
    return {}


def _delete_user(batch: Batch, command: c.DeleteUser) -> dict[str, Any]:
    accounts = batch.tx.accounts
    _user(accounts, command.user_id)
    accounts.remove(t.users, command.user_id)
    return {}


def _end_login(batch: Batch, command: c.EndLogin) -> dict[str, Any]:
    accounts = batch.tx.accounts
    accounts.forget_logins(batch.now)
    if command.expires_at > batch.now:
        accounts.end_login(command.token_id, command.expires_at)
    return {}


def _create_key(batch: Batch, command: c.CreateApiKey) -> dict[str, Any]:
    accounts = batch.tx.accounts
    _check_key_name(accounts, command.name)
    row = {
        "id": command.key_id,
        "name": command.name,
        "description": command.description,
        "role": command.role,
        "prefix": command.prefix,
        "secret_hash": command.secret_hash,
        "created_by": command.created_by,
        "created_at": batch.now,
        "updated_at": batch.now,
        "last_used_at": None,
        "expires_at": command.expires_at,
        "dags": str(DagScope(command.dags)),
    }
    accounts.add(t.api_keys, row)
    return {"apiKey": without_hashes(row)}


def _update_key(batch: Batch, command: c.UpdateApiKey) -> dict[str, Any]:
    accounts = batch.tx.accounts
    row = _key(accounts, command)
    values: dict[str, Any] = {"updated_at": batch.now}
    if command.name and command.name != row["name"]:
        _check_key_name(accounts, command.name)
        values["name"] = command.name
    if command.description is not None:
        values["description"] = command.description
    if command.role is not None:
        values["role"] = command.role
    if command.expires_at is not None or command.never_expires:
        values["expires_at"] = command.expires_at
    if command.dags is not None:
        values["dags"] = str(DagScope(command.dags))
    accounts.change(t.api_keys, command.key_id, values)
    return {"apiKey": without_hashes(row | values)}


def _delete_key(batch: Batch, command: c.DeleteApiKey) -> dict[str, Any]:
    accounts = batch.tx.accounts
    _key(accounts, command)
    accounts.remove(t.api_keys, command.key_id)
    return {}


def _touch_credential(batch: Batch, command: c.TouchCredential) -> dict[str, Any]:
    table = t.api_keys if command.kind == "api_key" else t.webhooks
    batch.tx.accounts.touch(table, command.id, batch.now)
    return {}


def _count_failures(batch: Batch, command: c.CountFailures) -> dict[str, Any]:
    writes = batch.tx.login_failures
    writes.forget(command.forgiven, before=batch.now - _FAILURES_KEPT)
    known = writes.lock([each.guesser for each in command.failed], batch.now)
    now = batch.now.timestamp()
    after = {each.guesser: counted(each.kind, known[each.guesser], each.count, now) for each in command.failed}
    writes.save(after)
    return {}


def without_hashes(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON for a reply: without hashes, with times in ISO 8601."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if name not in _HASHES
    }


def _check_username(accounts: AccountWrites, username: str) -> None:
    check_unmarked(username, "username")
    if accounts.lock(t.users, username=username) is not None:
        raise AlreadyExists(f"username: {username!r} is taken by another user")


def _check_key_name(accounts: AccountWrites, name: str) -> None:
    if accounts.lock(t.api_keys, name=name) is not None:
        raise AlreadyExists(f"An API key named {name!r} already exists")


def _user(accounts: AccountWrites, user_id: str) -> dict[str, Any]:
    row = accounts.lock(t.users, id=user_id)
    if row is None:
        raise NotFound(f"There is no user {user_id!r}")
    return row


def _key(accounts: AccountWrites, command: c.UpdateApiKey | c.DeleteApiKey) -> dict[str, Any]:
    """Return the API key of a command. Keys of other workspaces than the command's are not found."""
    row = accounts.lock(t.api_keys, id=command.key_id)
    if row is None or workspace_of(row["name"]) != command.workspace:
        raise NotFound(f"There is no API key {command.key_id!r}")
    return row


HANDLERS: Handlers = {
    c.EnsureAdmin: _ensure_admin,
    c.CreateUser: _create_user,
    c.UpdateUser: _update_user,
    c.SetPassword: _set_password,
    c.DeleteUser: _delete_user,
    c.EndLogin: _end_login,
    c.CreateApiKey: _create_key,
    c.UpdateApiKey: _update_key,
    c.DeleteApiKey: _delete_key,
    c.TouchCredential: _touch_credential,
    c.CountFailures: _count_failures,
}
