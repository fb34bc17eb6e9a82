"""Handlers of the commands about workspaces and their members."""

from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from shared.store import tables as t
from shared.store.writes.base import FoundRow
from shared.workspaces import QUOTAS, WORKSPACE_RULE, valid_workspace

__all__ = ["HANDLERS"]


class _InUse(Conflict):
    code = "conflict"


def _create(batch: Batch, command: c.CreateWorkspace) -> dict[str, Any]:
    if not valid_workspace(command.name):
        raise InvalidInput(f"name: {command.name[:80]!r} must be {WORKSPACE_RULE}")
    if batch.tx.workspaces.lock(command.name) is not None:
        raise AlreadyExists(f"The workspace {command.name!r} already exists")
    row: FoundRow = {"name": command.name, "description": command.description, "created_at": batch.now}
    row |= {name: getattr(command, name) or None for name in QUOTAS}
    row |= {"updated_at": batch.now, "by": command.by}
    # There was no row to lock. If another transaction has created it meanwhile, this one starts anew and finds it.
    batch.tx.workspaces.add(row)
    batch.after.rules = True
    return _shown(row)


def _update(batch: Batch, command: c.UpdateWorkspace) -> dict[str, Any]:
    row = _lock(batch, command.name)
    if command.description is not None:
        row["description"] = command.description
    row |= {name: value or None for name in QUOTAS if (value := getattr(command, name)) is not None}
    row |= {"updated_at": batch.now, "by": command.by}
    batch.tx.workspaces.put(row)
    batch.after.rules = True
    return _shown(row)


def _shown(row: FoundRow) -> dict[str, Any]:
    times = {name: row[name].isoformat() for name in ("created_at", "updated_at")}
    shown = {name: row[name] for name in ("name", "description", *QUOTAS)}
    return {"workspace": {**shown, **times}}


def _delete(batch: Batch, command: c.DeleteWorkspace) -> dict[str, Any]:
    _lock(batch, command.name)
    if remains := batch.tx.workspaces.remains(command.name):
        raise _InUse(f"The workspace {command.name} still has {remains}: delete them first")
    batch.tx.workspaces.remove(command.name)
    batch.after.rules = True
    return {}


def _set_member(batch: Batch, command: c.SetMember) -> dict[str, Any]:
    _lock(batch, command.name)
    user = batch.tx.accounts.lock(t.users, id=command.user_id)
    if user is None:
        raise NotFound(f"There is no user {command.user_id[:40]!r}")
    batch.tx.workspaces.set_member(command.name, command.user_id, command.role, by=command.by, at=batch.now)
    return {"member": {"user_id": command.user_id, "username": user["username"], "role": command.role}}


def _remove_member(batch: Batch, command: c.RemoveMember) -> dict[str, Any]:
    if not batch.tx.workspaces.remove_member(command.name, command.user_id):
        raise NotFound(f"User {command.user_id[:40]!r} is not a member of the workspace {command.name[:40]!r}")
    return {}


def _lock(batch: Batch, name: str) -> FoundRow:
    row = batch.tx.workspaces.lock(name)
    if row is None:
        raise NotFound(f"There is no workspace {name[:40]!r}")
    return row


HANDLERS: Handlers = {
    c.CreateWorkspace: _create,
    c.UpdateWorkspace: _update,
    c.DeleteWorkspace: _delete,
    c.SetMember: _set_member,
    c.RemoveMember: _remove_member,
}
