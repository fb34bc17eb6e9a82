"""Handlers of the commands about queues, and the limits of queues in the configuration."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.commands.checks import check_queue_name
from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import NotFound
from shared.store.writes.queues import QueueWrites
from shared.store.writes.transaction import Transaction

__all__ = ["HANDLERS", "apply_configured_queues"]


def _set_queue(batch: Batch, command: c.SetQueue) -> dict[str, Any]:
    rows = batch.tx.queues
    check_queue_name(command.name)
    rows.lock(command.name)
    known = rows.limits().get(command.name)
    rows.put(command.name, command.max_concurrency)
    _put_limit(rows, command.name, known["configured"] if known else None, batch.now, command.by)
    batch.after.queues.add(command.name)
    return {"name": command.name, "maxConcurrency": command.max_concurrency}


def _remove_queue(batch: Batch, command: c.RemoveQueue) -> dict[str, Any]:
    rows = batch.tx.queues
    row = rows.lock(command.name)
    if row is None or row["kind"] != "global":
        raise NotFound(f"There is no global queue {command.name!r}")
    rows.put(command.name, None)
    known = rows.limits().get(command.name)
    _put_limit(rows, command.name, known["configured"] if known else None, batch.now, command.by)
    batch.after.queues.add(command.name)
    return {}


def _put_limit(rows: QueueWrites, name: str, configured: int | None, now: datetime, by: str) -> None:
    rows.put_limit({"name": name, "configured": configured, "updated_at": now, "by": by})


def apply_configured_queues(tx: Transaction, queues: Mapping[str, int], now: datetime) -> None:
    """Make the configured queues global, with their limits.

    A limit that was set by a command stays until the configured limit of the queue changes.
    """
    rows = tx.queues
    known = rows.limits()
    for name, limit in sorted(queues.items()):
        if name not in known or known[name]["configured"] != limit:
            rows.put(name, limit)
            _put_limit(rows, name, limit, now, "configuration")
    for name, row in sorted(known.items()):
        if row["configured"] is not None and name not in queues:
            if row["by"] == "configuration":
                rows.put(name, None)
            _put_limit(rows, name, None, now, row["by"])


HANDLERS: Handlers = {
    c.SetQueue: _set_queue,
    c.RemoveQueue: _remove_queue,
}
