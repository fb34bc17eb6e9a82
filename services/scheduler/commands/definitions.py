"""Writes DAG definitions for the commands, for the DAG folder, and for the revalidation after an upgrade."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.scheduler.deciding.plans import Plans, spec_hash
from shared.language.load import LoadResult
from shared.language.summary import summarise
from shared.store.writes.transaction import Transaction
from shared.workspaces import ForeignName, plain_name, stored_name, workspace_of

__all__ = ["BY_FOLDER", "WAS_SUSPENDED", "Definitions", "Version"]

BY_FOLDER = "folder"
"""The author of versions that were loaded from the DAG folder."""
WAS_SUSPENDED = -1
"""Instead of a version in a row of ``schedules``: the DAG was suspended until it was last updated."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a DAG: its spec text, and the parsed facts that are stored with it.

    ``number`` 1 creates the DAG. ``folder_hash`` is set if the spec came from the DAG folder or is written to it.
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
            return cls(file_name, text, file_name, {"name": plain_name(file_name)}, [], errors, number)
        try:
            dag_name = stored_name(workspace_of(file_name), dag.name)
        except ForeignName as error:
            return cls(file_name, text, file_name, summarise(dag), list(dag.tags), [*errors, f"name: {error}"], number)
        return cls(file_name, text, dag_name, summarise(dag), list(dag.tags), errors, number)


class Definitions:
    """Writes DAG definitions in one transaction."""

    def __init__(self, tx: Transaction, plans: Plans, now: datetime) -> None:
        self._tx = tx
        self._plans = plans
        self._now = now

    def remove(self, row: Mapping[str, Any], *, file_stays: bool) -> None:
        """Delete a DAG. If its file stays in the DAG folder, the DAG returns only when the file changes."""
        self._tx.dags.delete([row["file_name"]])
        if file_stays and row["folder_hash"] is not None:
            self._tx.dags.keep_removed(row["file_name"], row["folder_hash"])

    def save_one(
        self, file_name: str, text: str, loaded: LoadResult, *, by: str, number: int, folder_hash: str | None
    ) -> None:
        """Store one version of a DAG and cache its plan, because an edited DAG is likely to run soon."""
        version = replace(Version.of(file_name, text, loaded, number), folder_hash=folder_hash)
        self.save([version], by=by)
        if loaded.ok and loaded.dag is not None:
            self._plans.add(text, file_name, loaded.dag)

    def save(self, versions: Sequence[Version], *, by: str) -> None:
        """Store new DAGs and new versions of existing DAGs. An invalid version is stored with its errors.

        Raises:
            AlreadyExists: a DAG that should be new, or a version with the same number, exists already.
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

    def suspend(self, file_name: str, *, suspended: bool) -> None:
        """Switch the schedule of a DAG off, or on again. The caller has locked its row."""
        self._tx.dags.save(file_name, {"suspended": suspended, "updated_at": self._now})
        schedule = None if suspended else self._tx.schedules.lock(file_name)
        if schedule is not None:
            # What was due since may be undecided: in a pause of everything, and after an outage. The firing loop adopts
            # the schedule, and records these times before the DAG's catch-up policy can take them for missed.
            self._tx.schedules.put([{**schedule, "dag_version": WAS_SUSPENDED}])

    def validate_again(self, version: Version, text_hash: str) -> bool:
        """Store the errors and summary that this scheduler's version finds in a spec; return whether they changed.

        Does nothing if the DAG has another spec now, or if another replica has stored its result first. The number of
        the DAG's version stays, because the spec was not edited.
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
            # Version 0 makes the firing loop adopt the schedule again. Scheduled times that passed while the DAG was
            # invalid are not caught up.
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
