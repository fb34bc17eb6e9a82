"""Handlers of the commands about DAGs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from services.scheduler.commands.checks import AlreadyRunning, check_dag_name
from services.scheduler.commands.definitions import BY_FOLDER, WAS_SUSPENDED, Definitions
from services.scheduler.commands.handler import Handlers
from services.scheduler.commands.webhooks import delete_webhook_of, move_webhook
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.dag_folder.dag_files import ChangedInFolder, DagFiles
from services.scheduler.deciding.limits.quotas import DAGS_QUOTA
from services.scheduler.deciding.plans import spec_hash
from shared.contracts import commands as c
from shared.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from shared.ids import RESERVED_FILE_NAMES
from shared.language.load import LoadResult
from shared.workspaces import DEFAULT, plain_name

__all__ = ["HANDLERS"]


def _create_dag(batch: Batch, command: c.CreateDag) -> dict[str, Any]:
    _check_file_name(command.file_name)
    loaded = batch.plans.load(command.spec, file_name=command.file_name)
    if loaded.errors:
        raise InvalidInput("; ".join(str(issue) for issue in loaded.errors))
    if (row := batch.tx.dags.lock(command.file_name)) is not None:
        if _files(batch, command) is not None and _came_from_own_file(batch, row, command.spec):
            return {"name": command.file_name}
        raise AlreadyExists(f"DAG {command.file_name!r} already exists")
    batch.quotas.take(command.workspace, DAGS_QUOTA)
    with _written(batch, command, lambda files: files.create(command.file_name, command.spec)):
        _save(batch, command, command.file_name, command.spec, loaded)
    return {"name": command.file_name}


def _came_from_own_file(batch: Batch, row: Mapping[str, Any], text: str) -> bool:
    """Whether the folder's loop has loaded the DAG from a file with just this text.

    It may be the file that an earlier try of the same command wrote before its transaction failed.
    """
    if row["version"] != 1 or not row["spec_hash"] == row["folder_hash"] == spec_hash(text):
        return False
    first = batch.tx.dags.version(row["file_name"], 1)
    return first is not None and first["by"] == BY_FOLDER


def _put_spec(batch: Batch, command: c.PutSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    return {"errors": _store_version(batch, command, row, command.spec)}


def _replace_spec(batch: Batch, command: c.ReplaceSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    if "*" not in command.expected and row["spec_hash"] not in command.expected:
        raise _PreconditionFailed(f"DAG {command.file_name!r} was changed since you read it: read it again")
    try:
        return _numbered(row, _store_version(batch, command, row, command.spec))
    except ChangedInFolder as error:
        raise _PreconditionFailed(str(error)) from error


def _restore_spec(batch: Batch, command: c.RestoreSpec) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    version = batch.tx.dags.version(command.file_name, command.version)
    if version is None:
        raise NotFound(f"DAG {command.file_name!r} has no version {command.version}")
    text = batch.tx.dags.spec_texts([version["spec_hash"]])[version["spec_hash"]]
    return _numbered(row, _store_version(batch, command, row, text))


def _rename_dag(batch: Batch, command: c.RenameDag) -> dict[str, Any]:
    tx = batch.tx
    _check_file_name(command.new_file_name)
    row = _lock(batch, command.file_name)
    if tx.dags.lock(command.new_file_name) is not None:
        raise AlreadyExists(f"DAG {command.new_file_name!r} already exists")
    if batch.runs.count_active(row["dag_name"])["running"]:
        raise AlreadyRunning(f"DAG {command.file_name!r} is running: rename it when its runs have ended")
    text = tx.dags.spec_texts([row["spec_hash"]])[row["spec_hash"]]
    schedule = tx.schedules.lock(command.file_name)
    loaded = batch.plans.load(text, file_name=command.new_file_name)
    known = row["folder_hash"]
    with _written(batch, command, lambda files: files.move(command.file_name, command.new_file_name, text, known)):
        _definitions(batch).remove(row, file_stays=batch.files is None)
        _save(batch, command, command.new_file_name, text, loaded)
        _rename_what_belongs_to(batch, command, row, schedule)
    return {}


def _rename_what_belongs_to(
    batch: Batch, command: c.RenameDag, row: Mapping[str, Any], schedule: Mapping[str, Any] | None
) -> None:
    tx, schedules = batch.tx, batch.tx.schedules
    tx.pauses.rename(command.file_name, command.new_file_name)
    tx.queues.rename_dag(command.file_name, command.new_file_name)
    if schedule is not None:
        # The spec is the same, so recorded fires stay valid. Only the next fire is computed again.
        version = WAS_SUSPENDED if schedule["dag_version"] == WAS_SUSPENDED else 1
        again = {"dag_version": version, "zone": "", "next_fire_at": None, "next_start_at": None}
        schedules.put([{**schedule, **again, "file_name": command.new_file_name}])
    tx.dags.save(command.new_file_name, {"suspended": row["suspended"], "created_at": row["created_at"]})
    move_webhook(tx, command.file_name, command.new_file_name)


def _suspend_dag(batch: Batch, command: c.SuspendDag) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    with _written(batch, command, lambda files: files.suspend(command.file_name, command.suspend)):
        if row["suspended"] != command.suspend:
            _definitions(batch).suspend(command.file_name, suspended=command.suspend)
    return {}


def _delete_dag(batch: Batch, command: c.DeleteDag) -> dict[str, Any]:
    row = _lock(batch, command.file_name)
    with _written(batch, command, lambda files: files.remove(command.file_name, row["folder_hash"])):
        delete_webhook_of(batch.tx, command.file_name)
        _definitions(batch).remove(row, file_stays=batch.files is None)
    return {}


class _PreconditionFailed(Conflict):
    code = "precondition_failed"


def _lock(batch: Batch, file_name: str) -> Mapping[str, Any]:
    row = batch.tx.dags.lock(file_name)
    if row is None:
        raise NotFound(f"There is no DAG {file_name!r}")
    return row


def _check_file_name(name: str) -> None:
    check_dag_name(name, "name")
    if plain_name(name) in RESERVED_FILE_NAMES:
        raise InvalidInput(f"name: {plain_name(name)!r} is reserved: the API uses it in its paths")


def _definitions(batch: Batch) -> Definitions:
    return Definitions(batch.tx, batch.plans, batch.now)


def _store_version(batch: Batch, command: c.DagChange, row: Mapping[str, Any], text: str) -> list[str]:
    """Store ``text`` as the next version of a DAG, unless it has errors; return the errors."""
    loaded = batch.plans.load(text, file_name=command.file_name)
    if not loaded.errors:
        with _written(batch, command, lambda files: files.put(command.file_name, text, row["folder_hash"])):
            _save(batch, command, command.file_name, text, loaded, number=row["version"] + 1)
    return [str(issue) for issue in loaded.errors]


def _save(
    batch: Batch, command: c.DagChange, file_name: str, text: str, loaded: LoadResult, *, number: int = 1
) -> None:
    folder_hash = None if _files(batch, command) is None else spec_hash(text)
    _definitions(batch).save_one(file_name, text, loaded, by=command.by, number=number, folder_hash=folder_hash)


@contextmanager
def _written(batch: Batch, command: c.DagChange, change: Callable[[DagFiles], None]) -> Iterator[None]:
    """Run the block, then make the same change to the DAG folder, if it is written. If that fails, undo the block.

    In this order: the rows are locked when the files change, so the folder's loop waits for the commit and then finds
    the files loaded already.
    """
    files = _files(batch, command)
    if files is None:
        yield
        return
    with batch.tx.savepoint():
        yield
        change(files)


def _files(batch: Batch, command: c.DagChange) -> DagFiles | None:
    """Return the DAG folder if it is written. It has the DAGs of the default workspace only."""
    return batch.files if command.workspace == DEFAULT else None


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
