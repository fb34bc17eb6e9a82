"""Definitions: dags created, changed, renamed, removed, by command or by a followed folder."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.scheduler.plans import Plans, spec_hash
from shared.contracts.commands import CreateDag, DeleteDag, PutSpec, RenameDag, SuspendDag
from shared.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from shared.ids import valid_dag_name
from shared.spec.load import Loaded, load
from shared.spec.summary import summarise
from shared.store import tables as t
from shared.store.tx import Tx

__all__ = ["AlreadyRunning", "Definitions"]

_RESERVED = frozenset({"search", "tags", "validate"})


class AlreadyRunning(Conflict):
    """A run of it is under way."""

    code = "already_running"


class Definitions:
    """What commands and the folder do to ``dags``, within one transaction each."""

    def __init__(self, tx: Tx, plans: Plans, now: datetime) -> None:
        self._tx = tx
        self._plans = plans
        self._now = now

    def create(self, command: CreateDag) -> dict[str, Any]:
        """Store a new dag. Raises ``InvalidInput`` with all messages, or ``AlreadyExists``."""
        _check_name(command.file_name)
        loaded = load(command.spec, file_name=command.file_name)
        if loaded.errors:
            raise InvalidInput("; ".join(str(issue) for issue in loaded.errors))
        if self._tx.lock_dag(command.file_name) is not None:
            raise AlreadyExists(f"DAG {command.file_name} already exists")
        self.save(command.file_name, command.spec, loaded, by=command.by)
        return {"name": command.file_name}

    def put_spec(self, command: PutSpec) -> dict[str, Any]:
        """Replace a spec; an invalid one is answered with its errors and changes nothing."""
        row = self._find(command.file_name)
        loaded = load(command.spec, file_name=command.file_name)
        if loaded.errors:
            return {"errors": [str(issue) for issue in loaded.errors]}
        self.save(command.file_name, command.spec, loaded, by=command.by, row=row)
        return {"errors": []}

    def delete(self, command: DeleteDag) -> dict[str, Any]:
        self._find(command.file_name)
        self._tx.delete_dag(command.file_name)
        return {}

    def rename(self, command: RenameDag) -> dict[str, Any]:
        """Give the file another name; text, flag and run history stay as they are."""
        _check_name(command.new_file_name)
        row = self._find(command.file_name)
        if self._tx.lock_dag(command.new_file_name) is not None:
            raise AlreadyExists(f"DAG {command.new_file_name} already exists")
        if self._tx.count_active(row["dag_name"]).get("running"):
            raise AlreadyRunning(f"DAG {command.file_name} is running: it cannot be renamed now")
        text = self._tx.spec_texts([row["spec_hash"]])[row["spec_hash"]]
        self._tx.delete_dag(command.file_name)
        self.save(command.new_file_name, text, load(text, file_name=command.new_file_name), by=command.by)
        self._tx.save_dag(command.new_file_name, {"suspended": row["suspended"], "created_at": row["created_at"]})
        return {}

    def suspend(self, command: SuspendDag) -> dict[str, Any]:
        self._find(command.file_name)
        self._tx.save_dag(command.file_name, {"suspended": command.suspend, "updated_at": self._now})
        return {}

    def save(
        self,
        file_name: str,
        text: str,
        loaded: Loaded,
        *,
        by: str,
        row: Mapping[str, Any] | None = None,
        folder_hash: str | None = None,
    ) -> None:
        """Write a dag, new or (``row``) as its next version. A faulty one is kept with its errors."""
        text_hash = spec_hash(text)
        version = 1 if row is None else row["version"] + 1
        errors = [str(issue) for issue in loaded.errors]
        dag = loaded.dag
        values = {
            "dag_name": dag.name if dag is not None else file_name,
            "spec_hash": text_hash,
            "version": version,
            "summary": summarise(dag) if dag is not None else {"name": file_name},
            "tags": list(dag.tags) if dag is not None else [],
            "errors": errors,
            "updated_at": self._now,
        }
        if folder_hash is not None:
            values["folder_hash"] = folder_hash
        self._tx.insert_new(t.specs, [{"hash": text_hash, "yaml": text, "created_at": self._now}])
        if row is None:
            new = {"file_name": file_name, "created_at": self._now, "suspended": False, "folder_hash": folder_hash}
            self._tx.insert(t.dags, [new | values])
        else:
            self._tx.save_dag(file_name, values)
        self._tx.insert(
            t.dag_versions,
            [{"file_name": file_name, "version": version, "spec_hash": text_hash, "at": self._now, "by": by}],
        )
        if not errors and dag is not None:
            self._plans.keep(text, file_name, dag)

    def _find(self, file_name: str) -> Mapping[str, Any]:
        row = self._tx.lock_dag(file_name)
        if row is None:
            raise NotFound(f"DAG {file_name} not found")
        return row


def _check_name(name: str) -> None:
    if not valid_dag_name(name):
        raise InvalidInput(f"name: {name!r} must be 1 to 40 letters, digits, dashes, dots or underscores")
    if name in _RESERVED:
        raise InvalidInput(f"name: {name!r} is reserved")
