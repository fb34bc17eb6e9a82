"""Queues' limits and pauses: by command, and by configuration at start."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.commands.pools import carry_out_pool
from services.scheduler.deciding.batch import Batch
from shared.contracts.commands.queues import (
    Pause,
    QueueCommand,
    RemovePool,
    RemoveQueue,
    Resume,
    SetPool,
    SetQueue,
)
from shared.errors import Conflict, InvalidInput, NotFound
from shared.store.writes.queues import QueueWrites
from shared.store.writes.transaction import Transaction

__all__ = ["carry_out_queue", "take_over_limits"]

_MAX_NAME = 200


def carry_out_queue(batch: Batch, command: QueueCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    rows = batch.tx.queues
    match command:
        case SetQueue():
            return _set_queue(batch, rows, command)
        case RemoveQueue():
            row = rows.lock(command.name)
            if row is None or row["kind"] != "global":
                raise NotFound(f"there is no global queue {command.name}")
            rows.put(command.name, None)
            known = rows.limits().get(command.name)
            _remember(rows, command.name, known["configured"] if known else None, batch.now, command.by)
            batch.after.queues.add(command.name)
            return {}
        case SetPool() | RemovePool():
            return carry_out_pool(batch, command)
        case Pause():
            return _pause(batch, command)
        case Resume():
            return _resume(batch, command)
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about queues")


def _set_queue(batch: Batch, rows: QueueWrites, command: SetQueue) -> dict[str, Any]:
    if not command.name or len(command.name) > _MAX_NAME:
        raise InvalidInput(f"name: 1 to {_MAX_NAME} characters")
    rows.lock(command.name)
    known = rows.limits().get(command.name)
    rows.put(command.name, command.max_concurrency)
    _remember(rows, command.name, known["configured"] if known else None, batch.now, command.by)
    batch.after.queues.add(command.name)
    return {"name": command.name, "maxConcurrency": command.max_concurrency}


def _remember(rows: QueueWrites, name: str, configured: int | None, now: datetime, by: str) -> None:
    rows.put_limit({"name": name, "configured": configured, "updated_at": now, "by": by})


def _key(batch: Batch, command: Pause | Resume) -> tuple[str, str]:
    name = "" if command.scope == "global" else command.name
    if command.scope == "dag" and batch.runs.dag(name) is None:
        raise NotFound(f"DAG {name} not found")
    if command.scope == "queue" and not name:
        raise InvalidInput("name: which queue?")
    return command.scope, name


def _open(batch: Batch, key: tuple[str, str]) -> Mapping[str, Any] | None:
    return next((row for row in batch.tx.pauses.open() if (row["scope"], row["name"]) == key), None)


def _pause(batch: Batch, command: Pause) -> dict[str, Any]:
    scope, name = _key(batch, command)
    if _open(batch, (scope, name)) is not None:
        return {"paused": True}
    batch.tx.pauses.put(
        {
            "scope": scope,
            "name": name,
            "paused_at": batch.now,
            "paused_by": command.by,
            "reason": command.reason,
            "resumed_at": None,
            "catchup": None,
        }
    )
    if scope == "dag":
        # Not due until it goes on: a paused dag costs nothing. Whoever is firing it now comes first.
        schedule = batch.tx.schedules.lock(name)
        if schedule is not None:
            batch.tx.schedules.save_decided([schedule | {"next_fire_at": None, "next_start_at": None}])
    batch.after.schedules = True
    return {"paused": True}


def _resume(batch: Batch, command: Resume) -> dict[str, Any]:
    scope, name = _key(batch, command)
    row = _open(batch, (scope, name))
    if row is None:
        raise _NotPaused(f"{name or 'the whole'} is not paused")
    batch.tx.pauses.put({**row, "resumed_at": batch.now, "catchup": command.catchup})
    if scope == "dag":
        schedule = batch.tx.schedules.lock(name)
        if schedule is not None:
            # No zone is called so: the next look works out what is due, from where it was decided.
            batch.tx.schedules.put([schedule | {"zone": ""}])
    batch.after.schedules = True
    batch.after.queues.update(batch.tx.queues.busy())
    return {"paused": False}


class _NotPaused(Conflict):
    code = "bad_request"


def take_over_limits(tx: Transaction, queues: Mapping[str, int], now: datetime) -> None:
    """Make the configured queues global; a limit changed by API stays until the configuration changes."""
    rows = tx.queues
    known = rows.limits()
    for name, limit in sorted(queues.items()):
        if name not in known or known[name]["configured"] != limit:
            rows.put(name, limit)
            _remember(rows, name, limit, now, "configuration")
    for name, row in sorted(known.items()):
        if row["configured"] is not None and name not in queues:
            if row["by"] == "configuration":
                rows.put(name, None)
            _remember(rows, name, None, now, row["by"])
