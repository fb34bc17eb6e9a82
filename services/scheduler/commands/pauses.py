"""Handlers of the commands about pauses."""

from collections.abc import Mapping
from typing import Any

from services.scheduler.commands.checks import check_queue_name
from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import Conflict, NotFound

__all__ = ["HANDLERS"]


def _set_pause(batch: Batch, command: c.SetPause) -> dict[str, Any]:
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
    # A paused DAG has no next fire, so the firing loop does not read it. The lock waits for a scheduler that is firing
    # the DAG now.
    if scope == "dag" and batch.tx.schedules.lock(name) is not None:
        batch.tx.schedules.save_decided([{"file_name": name, "next_fire_at": None, "next_start_at": None}])
    batch.after.pauses = True
    return {"paused": True}


def _end_pause(batch: Batch, command: c.EndPause) -> dict[str, Any]:
    scope, name = _key(batch, command)
    row = _open(batch, (scope, name))
    if row is None:
        subject = {"global": "Dagway", "queue": f"Queue {name!r}", "dag": f"DAG {name!r}"}[scope]
        raise _NotPaused(f"{subject} is not paused")
    batch.tx.pauses.put({**row, "resumed_at": batch.now, "catchup": command.catchup})
    if scope == "dag":
        schedule = batch.tx.schedules.lock(name)
        if schedule is not None:
            # No zone has an empty name, so the firing loop adopts the schedule and computes the next fire again, from
            # ``decided_until``.
            batch.tx.schedules.put([schedule | {"zone": ""}])
            batch.after.dags.add(name)
    batch.after.pauses = True
    batch.after.queues.update(batch.tx.queues.busy())
    return {"paused": False}


class _NotPaused(Conflict):
    code = "bad_request"


def _key(batch: Batch, command: c.SetPause | c.EndPause) -> tuple[str, str]:
    name = "" if command.scope == "global" else command.name
    if command.scope == "dag" and batch.runs.dag(name) is None:
        raise NotFound(f"There is no DAG {name!r}")
    if command.scope == "queue":
        check_queue_name(name)
    return command.scope, name


def _open(batch: Batch, key: tuple[str, str]) -> Mapping[str, Any] | None:
    return next((row for row in batch.tx.pauses.open() if (row["scope"], row["name"]) == key), None)


HANDLERS: Handlers = {
    c.SetPause: _set_pause,
    c.EndPause: _end_pause,
}
