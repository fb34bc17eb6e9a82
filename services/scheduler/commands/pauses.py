"""Handlers of the commands about pauses."""

from collections.abc import Mapping
from typing import Any

from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import Conflict, InvalidInput, NotFound
from shared.store.writes.schedules import Schedules

__all__ = ["HANDLERS"]


def _set_pause(batch: Batch, command: c.SetPause) -> dict[str, Any]:
    rows = Schedules(batch.tx)
    scope, name = _key(batch, command)
    if _open(rows, (scope, name)) is not None:
        return {"paused": True}
    rows.put_pause(
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
        # A paused DAG has no next fire, so it costs nothing. The lock waits for a scheduler that is firing it now.
        schedule = rows.lock(name)
        if schedule is not None:
            rows.decided([schedule | {"next_fire_at": None, "next_start_at": None}])
    batch.after.schedules = True
    return {"paused": True}


def _end_pause(batch: Batch, command: c.EndPause) -> dict[str, Any]:
    rows = Schedules(batch.tx)
    scope, name = _key(batch, command)
    row = _open(rows, (scope, name))
    if row is None:
        subject = {"global": "Dagway", "queue": f"queue {name}", "dag": f"DAG {name}"}[scope]
        raise _NotPaused(f"{subject} is not paused")
    rows.put_pause({**row, "resumed_at": batch.now, "catchup": command.catchup})
    if scope == "dag":
        schedule = rows.lock(name)
        if schedule is not None:
            # No zone has an empty name, so the firing loop works out the next fire again from ``decided_until``.
            rows.put([schedule | {"zone": ""}])
    batch.after.schedules = True
    batch.after.queues.update(rows.busy_queues())
    return {"paused": False}


class _NotPaused(Conflict):
    code = "bad_request"


def _key(batch: Batch, command: c.SetPause | c.EndPause) -> tuple[str, str]:
    name = "" if command.scope == "global" else command.name
    if command.scope == "dag" and batch.dag(name) is None:
        raise NotFound(f"DAG {name} not found")
    if command.scope == "queue" and not name:
        raise InvalidInput("name: the name of the queue is missing")
    return command.scope, name


def _open(rows: Schedules, key: tuple[str, str]) -> Mapping[str, Any] | None:
    return next(
        (row for row in rows.pauses() if (row["scope"], row["name"]) == key and row["resumed_at"] is None), None
    )


HANDLERS: Handlers = {
    c.SetPause: _set_pause,
    c.EndPause: _end_pause,
}
