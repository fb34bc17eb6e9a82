"""Imports users, API keys and webhooks of Dagu.

Their secrets are hashed by bcrypt. The hashes are kept, so passwords, keys and tokens stay valid.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.importing.dagu_files import ApiKeyFile, UserFile, WebhookFile, read_file
from services.importing.dagu_home import DaguHome
from services.importing.report import Report
from services.importing.target import Target
from shared.roles import RANK
from shared.store import tables as t
from shared.store.writes.transaction import Transaction
from shared.workspaces import MARK

__all__ = ["import_accounts", "why_unreadable"]

F = TypeVar("F", bound=BaseModel)
_BCRYPT = "$2"
_MAX_NAME = 200
_RENAMED = "it was renamed here, and stays as"
_ROLES = {"developer": ("operator", "a manager may also change secrets, queues and pauses")}
"""Roles that Dagu 2 added, the nearest here that may do no more, and why not the next one.

Dagu 2's developer creates, edits, deletes, runs and stops workflows (its ``internal/auth/role.go``).
"""
_KINDS: Mapping[type[BaseModel], str] = {UserFile: "user", ApiKeyFile: "API key", WebhookFile: "webhook"}


def import_accounts(target: Target, report: Report, home: DaguHome) -> None:
    """Import all users, API keys and webhooks of a home. What is here already stays as it is."""
    for path in home.accounts("users"):
        _import(target, report, path, UserFile, _user)
    for path in home.accounts("apikeys"):
        _import(target, report, path, ApiKeyFile, _api_key)
    for path in home.accounts("webhooks"):
        _import(target, report, path, WebhookFile, _webhook)


def why_unreadable(error: ValidationError) -> str:
    """Return what is wrong with a file, by field. Values are left out, because they may be secrets."""
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors()[:5])


def _import(
    target: Target, report: Report, path: Path, model: type[F], add: Callable[[Transaction, F], str | None]
) -> None:
    """``add`` returns why it did not add a row, ``""`` if the row is here already, and ``None`` if it added it."""
    kind = _KINDS[model]
    try:
        file = read_file(model, path.read_bytes())
    except ValidationError as error:
        report.add(kind, path.name, "refused", why_unreadable(error))
        return
    if why := _refusal(file):
        report.add(kind, _name(file), "refused", why)
        return
    with target.begin() as tx:
        found = add(tx, file)
    if found is None:
        why = _remark(file)
        report.add(kind, _name(file), "differs" if why else "loaded", why)
    else:
        report.add(kind, _name(file), "differs" if found else "unchanged", found)


def _name(file: BaseModel) -> str:
    return str(getattr(file, "username", None) or getattr(file, "name", None) or getattr(file, "dag_name", ""))


def _refusal(file: BaseModel) -> str:
    role = getattr(file, "role", None)
    if role is not None and _role(role) not in RANK:
        return f"there is no role {role!r} here"
    if getattr(file, "is_disabled", False):
        return "it is disabled there, and could log in here"
    access = getattr(file, "workspace_access", None)
    if access is not None and not (isinstance(access, Mapping) and access.get("all") is True):
        return "it is limited to workspaces there, and would see every workflow here"
    provider = getattr(file, "auth_provider", "")
    if provider not in ("", "builtin") and not getattr(file, "password_hash", ""):
        return f"it has no password: it logs in by {provider}"
    secret = next(filter(None, (getattr(file, name, "") for name in ("password_hash", "key_hash", "token_hash"))), "")
    if not secret.startswith(_BCRYPT):
        return "its secret has no bcrypt hash"
    if not 0 < len(_name(file)) <= _MAX_NAME:
        return f"its name must have 1 to {_MAX_NAME} characters"
    if MARK in _name(file):
        return f"its name must not contain the character {MARK} (U+241F)"
    return ""


def _role(name: str) -> str:
    """Return the role here for a role of Dagu."""
    return _ROLES[name][0] if name in _ROLES else name


def _remark(file: BaseModel) -> str:
    role = str(getattr(file, "role", ""))
    if role not in _ROLES:
        return ""
    here, why = _ROLES[role]
    return f"its role is {here} here: there is no {role}, and {why}"


def _add(tx: Transaction, table: Any, column: str, row: dict[str, Any], *, other: str) -> str | None:
    """Add ``row``. ``column`` has its name, ``other`` says what is wrong if another row has that name."""
    if (found := tx.accounts.lock(table, **{column: row[column]})) is not None:
        return "" if found["id"] == row["id"] else other
    if (renamed := tx.accounts.lock(table, id=row["id"])) is not None:
        return f"{_RENAMED} {renamed[column]}"
    tx.accounts.add(table, row)
    return None


def _user(tx: Transaction, file: UserFile) -> str | None:
    row = {
        "id": file.id,
        "username": file.username,
        "role": _role(file.role),
        "password_hash": file.password_hash,
        "created_at": file.created_at,
        "updated_at": file.updated_at,
    }
    return _add(tx, t.users, "username", row, other="there is another user of this name, who keeps the password")


def _api_key(tx: Transaction, file: ApiKeyFile) -> str | None:
    row = {"name": file.name, "description": file.description, "role": _role(file.role)}
    row |= _secret_row(file, file.key_prefix, file.key_hash)
    return _add(tx, t.api_keys, "name", row, other="there is another API key of this name")


def _webhook(tx: Transaction, file: WebhookFile) -> str | None:
    row = {"file_name": file.dag_name, "enabled": file.enabled} | _secret_row(file, file.token_prefix, file.token_hash)
    return _add(tx, t.webhooks, "file_name", row, other="the workflow has another webhook")


def _secret_row(file: ApiKeyFile | WebhookFile, prefix: str, secret_hash: str) -> dict[str, Any]:
    return {
        "id": file.id,
        "prefix": prefix,
        "secret_hash": secret_hash,
        "created_by": file.created_by,
        "created_at": file.created_at,
        "updated_at": file.updated_at,
        "last_used_at": file.last_used_at,
    }
