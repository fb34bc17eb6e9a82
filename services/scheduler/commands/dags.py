"""Definitions: dags created, changed, renamed, removed, by command or by a followed folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.scheduler.deciding.plans import Plans, spec_hash
from shared.contracts.commands import CreateDag, DeleteDag, PutSpec, RenameDag, SuspendDag
from shared.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from shared.ids import DAG_NAME_RULE, valid_dag_name
from shared.language.load import LoadResult, load
from shared.language.summary import summarise
from shared.store.writes.transaction import Transaction

__all__ = ["AlreadyRunning", "Definitions", "Version"]

_RESERVED = frozenset({"search", "tags", "validate"})


class AlreadyRunning(Conflict):
    """A run of it is under way."""

    code = "already_running"


@dataclass(frozen=True, slots=True)
class Version:
    """A text that a dag shall have, and what of its meaning is kept beside it.

    ``number`` 1: the dag is new. ``folder_hash``: the text came from the followed folder.
    """

    file_name: str
    text: str
    dag_name: str
    summary: dict[str, Any]
    tags: list[str]
    errors: list[str]
    number: int = 1
    folder_hash: str | None = None

    @classmethod
    def of(cls, file_name: str, text: str, loaded: LoadResult, number: int = 1) -> "Version":
        errors = [str(issue) for issue in loaded.errors]
        dag = loaded.dag
        if dag is None:
            return cls(file_name, text, file_name, {"name": file_name}, [], errors, number)
        return cls(file_name, text, dag.name, summarise(dag), list(dag.tags), errors, number)


class Definitions:
    """What commands and the folder do to ``dags``, within one transaction each."""

    def __init__(self, tx: Transaction, plans: Plans, now: datetime) -> None:
        self._tx = tx
        self._plans = plans
        self._now = now

    def create(self, command: CreateDag) -> dict[str, Any]:
        """Store a new dag. Raises ``InvalidInput`` with all messages, or ``AlreadyExists``."""
        _check_name(command.file_name)
        loaded = load(command.spec, file_name=command.file_name)
        if loaded.errors:
            raise InvalidInput("; ".join(str(issue) for issue in loaded.errors))
        if self._tx.dags.lock(command.file_name) is not None:
            raise AlreadyExists(f"DAG {command.file_name} already exists")
        self._save_one(command.file_name, command.spec, loaded, by=command.by)
        return {"name": command.file_name}

    def put_spec(self, command: PutSpec) -> dict[str, Any]:
        """Replace a spec; an invalid one is answered with its errors and changes nothing."""
        row = self._find(command.file_name)
        loaded = load(command.spec, file_name=command.file_name)
        if loaded.errors:
            return {"errors": [str(issue) for issue in loaded.errors]}
        self._save_one(command.file_name, command.spec, loaded, by=command.by, number=row["version"] + 1)
        return {"errors": []}

    def delete(self, command: DeleteDag) -> dict[str, Any]:
        self._remove(self._find(command.file_name))
        return {}

    def rename(self, command: RenameDag) -> dict[str, Any]:
        """Give the file another name; text, flag and run history stay as they are."""
        _check_name(command.new_file_name)
        row = self._find(command.file_name)
        if self._tx.dags.lock(command.new_file_name) is not None:
            raise AlreadyExists(f"DAG {command.new_file_name} already exists")
        if self._tx.runs.count_active(row["dag_name"]).get("running"):
            raise AlreadyRunning(f"DAG {command.file_name} is running: it cannot be renamed now")
        text = self._tx.dags.spec_texts([row["spec_hash"]])[row["spec_hash"]]
        schedules = self._tx.schedules
        schedule = schedules.lock(command.file_name)
        self._remove(row)
        loaded = load(text, file_name=command.new_file_name)
        self._save_one(command.new_file_name, text, loaded, by=command.by)
        self._tx.pauses.rename(command.file_name, command.new_file_name)
        self._tx.queues.rename_dag(command.file_name, command.new_file_name)
        if schedule is not None:
            # The same text under another name: what was decided stays, what is due next is worked out again.
            again = {"dag_version": 1, "zone": "", "next_fire_at": None, "next_start_at": None}
            schedules.put([{**schedule, **again, "file_name": command.new_file_name}])
        self._tx.dags.save(command.new_file_name, {"suspended": row["suspended"], "created_at": row["created_at"]})
        return {}

    def suspend(self, command: SuspendDag) -> dict[str, Any]:
        self._find(command.file_name)
        self._tx.dags.save(command.file_name, {"suspended": command.suspend, "updated_at": self._now})
        return {}

    def _remove(self, row: Mapping[str, Any]) -> None:
        """Remove a dag, and for good: its file may still lie in the folder, which is only read."""
        self._tx.dags.delete([row["file_name"]])
        if row["folder_hash"] is not None:
            self._tx.dags.keep_removed(row["file_name"], row["folder_hash"])

    def _save_one(self, file_name: str, text: str, loaded: LoadResult, *, by: str, number: int = 1) -> None:
        """Write one, and keep what was parsed: who edits a dag is likely to run it next."""
        self.save([Version.of(file_name, text, loaded, number)], by=by)
        if loaded.ok and loaded.dag is not None:
            self._plans.keep(text, file_name, loaded.dag)

    def save(self, versions: Sequence[Version], *, by: str) -> None:
        """Write new dags, and the next versions of others. A faulty one is kept with its errors.

        Raises:
            AlreadyExists: a new one is there already.
        """
        rows = [self._row(version) for version in versions]
        texts = {row["spec_hash"]: version.text for row, version in zip(rows, versions, strict=True)}
        self._tx.dags.add_specs(texts, self._now)
        new = {"created_at": self._now, "suspended": False, "folder_hash": None}
        self._tx.dags.add([new | row for row in rows if row["version"] == 1])
        for row in rows:
            if row["version"] > 1:
                self._tx.dags.save(row["file_name"], row)
        same = ("file_name", "version", "spec_hash")
        self._tx.dags.add_versions([{name: row[name] for name in same} | {"at": self._now, "by": by} for row in rows])

    def judge_again(self, version: Version, text_hash: str) -> bool:
        """Keep what this version of the scheduler finds in a dag's text; return whether that is something else.

        Nothing is done when the dag has another text by now, or another replica was quicker. The text's own
        version stays: nobody edited it.
        """
        row = self._tx.dags.lock(version.file_name)
        if row is None or row["spec_hash"] != text_hash or row["judged_by"] == self._plans.version:
            return False
        found = {name: getattr(version, name) for name in ("dag_name", "summary", "tags", "errors")}
        self._tx.dags.save(version.file_name, found | {"judged_by": self._plans.version})
        if all(row[name] == value for name, value in found.items()):
            return False
        schedules = self._tx.schedules
        schedule = schedules.lock(version.file_name)
        if schedule is not None:
            # To be adopted anew. What was due of a dag while it was faulty is not made up for.
            since = self._now if row["errors"] else schedule["decided_until"]
            schedules.put([{**schedule, "dag_version": 0, "decided_until": since}])
        return True

    def _row(self, version: Version) -> dict[str, Any]:
        found = {
            "file_name": version.file_name,
            "dag_name": version.dag_name,
            "spec_hash": spec_hash(version.text),
            "version": version.number,
            "summary": version.summary,
            "tags": version.tags,
            "errors": version.errors,
            "judged_by": self._plans.version,
            "updated_at": self._now,
        }
        return found if version.folder_hash is None else found | {"folder_hash": version.folder_hash}

    def _find(self, file_name: str) -> Mapping[str, Any]:
        row = self._tx.dags.lock(file_name)
        if row is None:
            raise NotFound(f"DAG {file_name} not found")
        return row


def _check_name(name: str) -> None:
    if not valid_dag_name(name):
        raise InvalidInput(f"name: {name!r} must be {DAG_NAME_RULE}")
    if name in _RESERVED:
        raise InvalidInput(f"name: {name!r} is reserved")
