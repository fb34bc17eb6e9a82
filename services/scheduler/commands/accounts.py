"""Users and API keys: rows written here, because nobody else may write."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.deciding.batch import Batch
from shared.contracts.commands.accounts import (
    AccountCommand,
    CreateApiKey,
    CreateUser,
    DeleteApiKey,
    DeleteUser,
    EnsureAdmin,
    SetPassword,
    TouchCredential,
    UpdateApiKey,
    UpdateUser,
)
from shared.errors import AlreadyExists, InvalidInput, NotFound
from shared.store import tables as t
from shared.store.writes.accounts import AccountWrites

__all__ = ["carry_out_account", "shown"]

_HIDDEN = frozenset({"password_hash", "secret_hash"})


def carry_out_account(batch: Batch, command: AccountCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    accounts = batch.tx.accounts
    match command:
        case EnsureAdmin():
            if accounts.users():
                return {"created": False}
            return {"created": True, "user": _create_user(accounts, command, batch.now)}
        case CreateUser():
            return {"user": _create_user(accounts, command, batch.now)}
        case UpdateUser():
            return {"user": _update_user(accounts, command, batch.now)}
        case SetPassword():
            _find(accounts, "user", command.user_id)
            accounts.change(t.users, command.user_id, {"password_hash": command.password_hash, "updated_at": batch.now})
            return {}
        case DeleteUser():
            _find(accounts, "user", command.user_id)
            accounts.remove(t.users, command.user_id)
            return {}
        case CreateApiKey():
            return {"apiKey": _create_key(accounts, command, batch.now)}
        case UpdateApiKey():
            return {"apiKey": _update_key(accounts, command, batch.now)}
        case DeleteApiKey():
            _find(accounts, "API key", command.key_id)
            accounts.remove(t.api_keys, command.key_id)
            return {}
        case TouchCredential():
            accounts.touch(t.api_keys if command.kind == "api_key" else t.webhooks, command.id, batch.now)
            return {}
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about accounts")


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for a reply: no hashes, times as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if name not in _HIDDEN
    }


def _create_user(accounts: AccountWrites, command: CreateUser, now: datetime) -> dict[str, Any]:
    if accounts.lock(t.users, username=command.username) is not None:
        raise AlreadyExists(f"username {command.username!r} is taken")
    row = {
        "id": command.user_id,
        "username": command.username,
        "role": command.role,
        "password_hash": command.password_hash,
        "created_at": now,
        "updated_at": now,
    }
    accounts.add(t.users, row)
    return shown(row)


def _update_user(accounts: AccountWrites, command: UpdateUser, now: datetime) -> dict[str, Any]:
    row = _find(accounts, "user", command.user_id)
    values: dict[str, Any] = {"updated_at": now}
    if command.username and command.username != row["username"]:
        if accounts.lock(t.users, username=command.username) is not None:
            raise AlreadyExists(f"username {command.username!r} is taken")
        values["username"] = command.username
    if command.role is not None:
        values["role"] = command.role
    accounts.change(t.users, command.user_id, values)
    return shown(row | values)


def _create_key(accounts: AccountWrites, command: CreateApiKey, now: datetime) -> dict[str, Any]:
    if accounts.lock(t.api_keys, name=command.name) is not None:
        raise AlreadyExists(f"an API key called {command.name!r} exists already")
    row = {
        "id": command.key_id,
        "name": command.name,
        "description": command.description,
        "role": command.role,
        "prefix": command.prefix,
        "secret_hash": command.secret_hash,
        "created_by": command.created_by,
        "created_at": now,
        "updated_at": now,
        "last_used_at": None,
    }
    accounts.add(t.api_keys, row)
    return shown(row)


def _update_key(accounts: AccountWrites, command: UpdateApiKey, now: datetime) -> dict[str, Any]:
    row = _find(accounts, "API key", command.key_id)
    values: dict[str, Any] = {"updated_at": now}
    if command.name and command.name != row["name"]:
        if accounts.lock(t.api_keys, name=command.name) is not None:
            raise AlreadyExists(f"an API key called {command.name!r} exists already")
        values["name"] = command.name
    if command.description is not None:
        values["description"] = command.description
    if command.role is not None:
        values["role"] = command.role
    accounts.change(t.api_keys, command.key_id, values)
    return shown(row | values)


def _find(accounts: AccountWrites, kind: str, row_id: str) -> dict[str, Any]:
    row = accounts.lock(t.users if kind == "user" else t.api_keys, id=row_id)
    if row is None:
        raise NotFound(f"there is no {kind} {row_id!r}")
    return row
