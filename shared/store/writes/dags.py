"""What a scheduler's transaction reads and writes of definitions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.bulk import Rows, write

__all__ = ["Dags"]

_REMOVED = "removed"
_REFUSED = "refused"

Found = dict[str, Any]


class Dags:
    """The part of ``Tx`` about dags and their specs."""

    connection: Connection

    def lock_dag(self, file_name: str) -> Found | None:
        """Return and lock one dag."""
        query = for_update(select(t.dags).where(t.dags.c.file_name == file_name))
        row = self.connection.execute(query).mappings().first()
        return None if row is None else dict(row)

    def followed(self, file_names: Sequence[str] | None = None, *, lock: bool = False) -> dict[str, Found]:
        """Return version and ``folder_hash`` of these dags, or of all, by file name."""
        c = t.dags.c
        query = select(c.file_name, c.version, c.folder_hash)
        if file_names is not None:
            query = query.where(c.file_name.in_(file_names))
        if lock:
            query = for_update(query.order_by(c.file_name))
        return {row["file_name"]: dict(row) for row in self.connection.execute(query).mappings()}

    def removed(self, file_names: Sequence[str] | None = None) -> dict[str, str]:
        """Return the ``folder_hash`` of these dags, or of all, that were removed by API; not locked."""
        c = t.passed_over.c
        query = select(c.name, c.folder_hash).where(c.kind == _REMOVED)
        if file_names is not None:
            query = query.where(c.name.in_(file_names))
        return dict(self.connection.execute(query).all())

    def keep_removed(self, file_name: str, folder_hash: str) -> None:
        """Remember that the dag of this text in the folder was removed."""
        row = {"kind": _REMOVED, "name": file_name, "folder_hash": folder_hash}
        write(self.connection, Rows(t.passed_over, [row], ("folder_hash",)))

    def forget_removed(self, file_names: Sequence[str]) -> None:
        self._forget(_REMOVED, file_names)

    def refused(self) -> dict[str, str]:
        """Return why files of the folder cannot be loaded, by their names."""
        c = t.passed_over.c
        return dict(self.connection.execute(select(c.name, c.problem).where(c.kind == _REFUSED)).all())

    def keep_refused(self, problems: Mapping[str, str]) -> None:
        """Set why these files cannot be loaded."""
        rows = [{"kind": _REFUSED, "name": name, "problem": why} for name, why in sorted(problems.items())]
        write(self.connection, Rows(t.passed_over, rows, ("problem",)))

    def forget_refused(self, names: Sequence[str]) -> None:
        self._forget(_REFUSED, names)

    def _forget(self, kind: str, names: Sequence[str]) -> None:
        c = t.passed_over.c
        for start in range(0, len(names), 500):
            these = c.name.in_(names[start : start + 500])
            self.connection.execute(delete(t.passed_over).where(c.kind == kind, these))

    def judged_by_others(self, version: str, limit: int) -> list[Found]:
        """Return dags with their texts (``yaml``) that another version of the scheduler judged; not locked."""
        c = t.dags.c
        query = select(c.file_name, c.spec_hash, t.specs.c.yaml).join(t.specs, t.specs.c.hash == c.spec_hash)
        query = query.where(c.judged_by != version).order_by(c.file_name).limit(limit)
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def save_dag(self, file_name: str, values: Mapping[str, Any]) -> None:
        """Set columns of one dag."""
        self.connection.execute(update(t.dags).where(t.dags.c.file_name == file_name).values(dict(values)))

    def delete_dags(self, file_names: Sequence[str]) -> None:
        """Remove dags with their versions; their runs stay."""
        for start in range(0, len(file_names), 500):
            names = file_names[start : start + 500]
            for table in (t.dag_versions, t.dags):
                self.connection.execute(delete(table).where(table.c.file_name.in_(names)))

    def callable_files(self, paths: Sequence[str] | None = None) -> dict[str, str]:
        """Return the spec hashes of these files of sub-folders, or of all, by path; not locked."""
        c = t.callable_files.c
        query = select(c.path, c.spec_hash)
        if paths is not None:
            query = query.where(c.path.in_(paths))
        return dict(self.connection.execute(query).all())

    def delete_callable_files(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), 500):
            found = t.callable_files.c.path.in_(paths[start : start + 500])
            self.connection.execute(delete(t.callable_files).where(found))

    def spec_texts(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return spec texts by hash."""
        query = select(t.specs.c.hash, t.specs.c.yaml).where(t.specs.c.hash.in_(hashes))
        return dict(self.connection.execute(query).all())
