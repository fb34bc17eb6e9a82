"""Handlers of the commands about DAGs."""

from collections.abc import Mapping
from typing import Any

from services.scheduler.commands.checks import AlreadyRunning, check_dag_name
from services.scheduler.commands.definitions import Definitions
from services.scheduler.commands.handler import Handlers
from services.scheduler.commands.webhooks import delete_webhook_of, move_webhook
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import AlreadyExists, Conflict, InvalidInput, NotFound

__all__ = ["HANDLERS"]

_RESERVED = frozenset({"search", "tags", "validate"})


def _create_dag(batch: Batch, command: c.CreateDag) -> dict[str, Any]:
    _check_file_name(command.file_name)
    loaded = batch.plans.load(command.spec, file_name=command.file_name)
    if loaded.errors:
        raise InvalidInput("; ".join(str(issue) for issue in loaded.errors))
    if batch.tx.dags.lock(command.file_name) is not None:
        raise AlreadyExists(f"DAG {command.file_name} already exists")
    _definitions(batch).save_one(command.file_name, command.spec, loaded, by=command.by)
    return {"name": command.file_name}


def _put_spec(batch: Batch, command: c.PutSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    return {"errors": _store_version(batch, command, row, command.spec)}


def _replace_spec(batch: Batch, command: c.ReplaceSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    if "*" not in command.expected and row["spec_hash"] not in command.expected:
        raise _PreconditionFailed(f"DAG {command.file_name} was changed since you read it: read it again")
    return _numbered(row, _store_version(batch, command, row, command.spec))


def _restore_spec(batch: Batch, command: c.RestoreSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    text_hash = batch.tx.dags.version_hash(command.file_name, command.version)
    if text_hash is None:
        raise NotFound(f"DAG {command.file_name} has no version {command.version}")
    text = batch.tx.dags.spec_texts([text_hash])[text_hash]
    return _numbered(row, _store_version(batch, command, row, text))


def _rename_dag(batch: Batch, command: c.RenameDag) -> dict[str, Any]:
    tx = batch.tx
    _check_file_name(command.new_file_name)
    row = _lock(batch, command.file_name)
    if tx.dags.lock(command.new_file_name) is not None:
        raise AlreadyExists(f"DAG {command.new_file_name} already exists")
    if tx.runs.count_active(row["dag_name"]).get("running"):
        raise AlreadyRunning(f"DAG {command.file_name} is running: rename it when its runs have ended")
    text = tx.dags.spec_texts([row["spec_hash"]])[row["spec_hash"]]
    schedules = tx.schedules
    schedule = schedules.lock(command.file_name)
    definitions = _definitions(batch)
    definitions.remove(row)
    loaded = batch.plans.load(text, file_name=command.new_file_name)
    definitions.save_one(command.new_file_name, text, loaded, by=command.by)
    tx.pauses.rename(command.file_name, command.new_file_name)
    tx.queues.rename_dag(command.file_name, command.new_file_name)
    if schedule is not None:
        # The spec is the same, so recorded fires stay valid. Only the next fire is computed again.
        again = {"dag_version": 1, "zone": "", "next_fire_at": None, "next_start_at": None}
        schedules.put([{**schedule, **again, "file_name": command.new_file_name}])
    tx.dags.save(command.new_file_name, {"suspended": row["suspended"], "created_at": row["created_at"]})
    move_webhook(tx, command.file_name, command.new_file_name)
    return {}


def _suspend_dag(batch: Batch, command: c.SuspendDag) -> dict[str, Any]:
    _lock(batch, command.file_name)
    batch.tx.dags.save(command.file_name, {"suspended": command.suspend, "updated_at": batch.now})
    return {}


def _delete_dag(batch: Batch, command: c.DeleteDag) -> dict[str, Any]:
    delete_webhook_of(batch.tx, command.file_name)
    _definitions(batch).remove(_lock(batch, command.file_name))
    return {}


class _PreconditionFailed(Conflict):
    code = "precondition_failed"


def _lock(batch: Batch, file_name: str) -> Mapping[str, Any]:
    row = batch.tx.dags.lock(file_name)
    if row is None:
        raise NotFound(f"DAG {file_name} not found")
    return row


def _check_file_name(name: str) -> None:
    check_dag_name(name, "name")
    if name in _RESERVED:
        raise InvalidInput(f"name: {name!r} is reserved: the API uses it in its paths")


def _definitions(batch: Batch) -> Definitions:
    return Definitions(batch.tx, batch.plans, batch.now)


def _store_version(batch: Batch, command: c.DagChange, row: Mapping[str, Any], text: str) -> list[str]:
    """Store ``text`` as the next version of a DAG, unless it has errors; return the errors."""
    loaded = batch.plans.load(text, file_name=command.file_name)
    if not loaded.errors:
        number = row["version"] + 1
        _definitions(batch).save_one(command.file_name, text, loaded, by=command.by, number=number)
    return [str(issue) for issue in loaded.errors]


def _numbered(row: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    return {"errors": errors, "version": row["version"] + (not errors)}


HANDLERS: Handlers = {
    c.CreateDag: _create_dag,
    c.PutSpec: _put_spec,
    c.ReplaceSpec: _replace_spec,
    c.RestoreSpec: _restore_spec,
    c.RenameDag: _rename_dag,
    c.SuspendDag: _suspend_dag,
    c.DeleteDag: _delete_dag,
}
