"""Handlers of the commands about workers."""

from collections.abc import Mapping
from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import Conflict, NotFound

__all__ = ["HANDLERS"]


def _drain(batch: Batch, command: c.DrainWorker) -> dict[str, Any]:
    if _worker(batch, command.worker_id)["drained_at"] is None:
        batch.tx.leases.drain_worker(command.worker_id, batch.now, command.by, command.reason)
    batch.after.drain_orders[command.worker_id] = True
    return {"drained": True}


def _resume(batch: Batch, command: c.ResumeWorker) -> dict[str, Any]:
    if _worker(batch, command.worker_id)["drained_at"] is None:
        raise _NotDrained(f"Worker {command.worker_id!r} is not drained")
    batch.tx.leases.drain_worker(command.worker_id, None, None, None)
    batch.after.drain_orders[command.worker_id] = False
    # Runs that waited for a worker with their labels may start now.
    batch.after.queues.update(batch.tx.queues.busy())
    return {"drained": False}


class _NotDrained(Conflict):
    code = "bad_request"


def _worker(batch: Batch, worker_id: str) -> Mapping[str, Any]:
    found = batch.tx.leases.lock_workers([worker_id])
    if not found:
        raise NotFound(f"There is no worker {worker_id!r}")
    return found[0]


HANDLERS: Handlers = {
    c.DrainWorker: _drain,
    c.ResumeWorker: _resume,
}
