"""Handlers of the commands about stored secrets. A scheduler has no key: it stores what gateways seal."""

from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.contracts.dag_scope import DagScope
from shared.errors import NotFound
from shared.workspaces import check_length

__all__ = ["HANDLERS"]

_MOST_CHARS = 100


def _set(batch: Batch, command: c.SetSecret) -> dict[str, Any]:
    check_length(command.name, _MOST_CHARS, "name")
    secrets = batch.tx.secrets
    known = secrets.lock(command.name)
    row = {
        "name": command.name,
        "version": 1 if known is None else known["version"] + 1,
        "sealed": command.sealed,
        "dags": str(DagScope(command.dags)),
        "created_at": batch.now if known is None else known["created_at"],
        "updated_at": batch.now,
        "by": command.by,
    }
    secrets.put(row)
    return {"name": command.name, "version": row["version"]}


def _delete(batch: Batch, command: c.DeleteSecret) -> dict[str, Any]:
    if not batch.tx.secrets.remove(command.name):
        raise NotFound(f"There is no stored secret {command.name[:100]!r}")
    return {}


def _reseal(batch: Batch, command: c.ResealSecrets) -> dict[str, Any]:
    secrets, done = batch.tx.secrets, 0
    # In the order of their names, as every transaction locks them.
    for each in sorted(command.secrets, key=lambda one: one.name):
        known = secrets.lock(each.name)
        if known is not None and known["sealed"] == each.replaces:
            secrets.put({**known, "sealed": each.sealed})
            done += 1
    return {"rotated": done, "remaining": command.remaining}


HANDLERS: Handlers = {
    c.SetSecret: _set,
    c.DeleteSecret: _delete,
    c.ResealSecrets: _reseal,
}
