"""Handlers of the commands that reserve worker pools for workspaces."""

from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.contracts.worker_pools import WORKER_POOL_RULE, valid_worker_pool
from shared.errors import InvalidInput, NotFound
from shared.workspaces import DEFAULT

__all__ = ["HANDLERS"]


def _reserve(batch: Batch, command: c.ReserveWorkerPool) -> dict[str, Any]:
    if not valid_worker_pool(command.name):
        raise InvalidInput(f"name: {command.name[:80]!r} must be {WORKER_POOL_RULE}")
    if not command.workspaces:
        raise InvalidInput(
            "workspaces: name at least one; to let the worker pool serve all workspaces, delete the reservation"
        )
    named = {each for each in command.workspaces if each != DEFAULT}
    # Locked, so that none of them is deleted meanwhile.
    if unknown := sorted(named - batch.tx.workspaces.existing(named)):
        raise NotFound(f"workspaces: there is no workspace {unknown[0][:40]!r}")
    workspaces = sorted(set(command.workspaces))
    batch.tx.workspaces.reserve_pool(command.name, workspaces, by=command.by, at=batch.now)
    _changed(batch)
    return {"name": command.name, "workspaces": workspaces}


def _release(batch: Batch, command: c.ReleaseWorkerPool) -> dict[str, Any]:
    if not batch.tx.workspaces.release_pool(command.name):
        raise NotFound(f"The worker pool {command.name[:40]!r} is not reserved")
    _changed(batch)
    return {}


def _changed(batch: Batch) -> None:
    """Let decisions know of the change, and admission look again at all queues: some runs may start now."""
    batch.worker_pools.change()
    batch.after.rules = True
    batch.after.queues.update(batch.tx.queues.busy())


HANDLERS: Handlers = {
    c.ReserveWorkerPool: _reserve,
    c.ReleaseWorkerPool: _release,
}
"""The handler of each command about worker pools."""
