"""Handlers of the commands about queues, and the queues that the configuration names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import InvalidInput, NotFound
from shared.store.writes.schedules import Schedules
from shared.store.writes.transaction import Tx

__all__ = ["HANDLERS", "apply_configured_queues"]

_MAX_NAME = 200


def _set_queue(batch: Batch, command: c.SetQueue) -> dict[str, Any]:
    rows = Schedules(batch.tx)
    if not command.name or len(command.name) > _MAX_NAME:
        raise InvalidInput(f"name: must be 1 to {_MAX_NAME} characters")
    batch.tx.lock_queue(command.name)
    known = rows.limits().get(command.name)
    rows.put_queue(command.name, command.max_concurrency)
    _put_limit(rows, command.name, known["configured"] if known else None, batch.now, command.by)
    batch.after.queues.add(command.name)
    return {"name": command.name, "maxConcurrency": command.max_concurrency}


def _remove_queue(batch: Batch, command: c.RemoveQueue) -> dict[str, Any]:
    rows = Schedules(batch.tx)
    row = batch.tx.lock_queue(command.name)
    if row is None or row["kind"] != "global":
        raise NotFound(f"there is no global queue {command.name}")
    rows.put_queue(command.name, None)
    known = rows.limits().get(command.name)
    _put_limit(rows, command.name, known["configured"] if known else None, batch.now, command.by)
    batch.after.queues.add(command.name)
    return {}


def _put_limit(rows: Schedules, name: str, configured: int | None, now: datetime, by: str) -> None:
    rows.put_limit({"name": name, "configured": configured, "updated_at": now, "by": by})


def apply_configured_queues(tx: Tx, queues: Mapping[str, int], now: datetime) -> None:
    """Make the configured queues global. A limit set by a command stays until the configured limit changes."""
    rows = Schedules(tx)
    known = rows.limits()
    for name, limit in sorted(queues.items()):
        if name not in known or known[name]["configured"] != limit:
            rows.put_queue(name, limit)
            _put_limit(rows, name, limit, now, "configuration")
    for name, row in sorted(known.items()):
        if row["configured"] is not None and name not in queues:
            if row["by"] == "configuration":
                rows.put_queue(name, None)
            _put_limit(rows, name, None, now, row["by"])


HANDLERS: Handlers = {
    c.SetQueue: _set_queue,
    c.RemoveQueue: _remove_queue,
}
