"""Reads and writes of DAGs and their specs in a transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["DagWrites"]

_REMOVED = "removed"
_REFUSED = "refused"


class DagWrites(Writer):
    """Reads and writes of DAGs, their versions and specs, and the files of the DAG folder."""

    def lock(self, file_name: str) -> FoundRow | None:
        """Return and lock one DAG, or return ``None`` if it does not exist."""
        return self._first(for_update(select(t.dags).where(t.dags.c.file_name == file_name)))

    def followed(self, file_names: Sequence[str] | None = None, *, lock: bool = False) -> dict[str, FoundRow]:
        """Return ``version`` and ``folder_hash`` of these DAGs, or of all DAGs, by file name."""
        c = t.dags.c
        query = select(c.file_name, c.version, c.folder_hash)
        if file_names is not None:
            query = query.where(c.file_name.in_(file_names))
        if lock:
            query = for_update(query.order_by(c.file_name))
        return {row["file_name"]: row for row in self._rows(query)}

    def suspended(self, file_names: Sequence[str] | None = None, *, lock: bool = False) -> dict[str, bool]:
        """Return whether these DAGs, or all DAGs, are suspended, by file name."""
        c = t.dags.c
        query = select(c.file_name, c.suspended).order_by(c.file_name)
        if file_names is not None:
            query = query.where(c.file_name.in_(file_names))
        return dict(self._connection.execute(for_update(query) if lock else query).all())

    def removed(self, file_names: Sequence[str] | None = None) -> dict[str, str]:
        """Return the ``folder_hash`` of DAGs that were deleted through the API, by file name. Locks nothing.

        ``file_names``: only these DAGs.
        """
        c = t.passed_over.c
        query = select(c.name, c.folder_hash).where(c.kind == _REMOVED)
        if file_names is not None:
            query = query.where(c.name.in_(file_names))
        return dict(self._connection.execute(query).all())

    def keep_removed(self, file_name: str, folder_hash: str) -> None:
        """Record that a DAG was deleted through the API while its file in the folder had this hash."""
        row = {"kind": _REMOVED, "name": file_name, "folder_hash": folder_hash}
        self._put(t.passed_over, [row], ["folder_hash"])

    def forget_removed(self, file_names: Sequence[str]) -> None:
        self._forget(_REMOVED, file_names)

    def refused(self) -> dict[str, str]:
        """Return why files of the DAG folder cannot be loaded, by file name."""
        c = t.passed_over.c
        return dict(self._connection.execute(select(c.name, c.problem).where(c.kind == _REFUSED)).all())

    def keep_refused(self, problems: Mapping[str, str]) -> None:
        """Record why files cannot be loaded: problems by file name."""
        rows = [{"kind": _REFUSED, "name": name, "problem": why} for name, why in sorted(problems.items())]
        self._put(t.passed_over, rows, ["problem"])

    def forget_refused(self, names: Sequence[str]) -> None:
        self._forget(_REFUSED, names)

    def _forget(self, kind: str, names: Sequence[str]) -> None:
        c = t.passed_over.c
        for start in range(0, len(names), 500):
            these = c.name.in_(names[start : start + 500])
            self._connection.execute(delete(t.passed_over).where(c.kind == kind, these))

    def judged_by_others(self, version: str, limit: int) -> list[FoundRow]:
        """Return DAGs, with their spec texts (``yaml``), last judged by another version of the scheduler.

        Locks nothing.
        """
        c = t.dags.c
        query = select(c.file_name, c.spec_hash, t.specs.c.yaml).join(t.specs, t.specs.c.hash == c.spec_hash)
        query = query.where(c.judged_by != version).order_by(c.file_name).limit(limit)
        return self._rows(query)

    def save(self, file_name: str, values: NewRow) -> None:
        """Set columns of one DAG."""
        self._connection.execute(update(t.dags).where(t.dags.c.file_name == file_name).values(dict(values)))

    def delete(self, file_names: Sequence[str]) -> None:
        """Delete DAGs and their versions; their runs stay."""
        for start in range(0, len(file_names), 500):
            names = file_names[start : start + 500]
            for table in (t.dag_versions, t.dags):
                self._connection.execute(delete(table).where(table.c.file_name.in_(names)))

    def callable_files(self, paths: Sequence[str] | None = None) -> dict[str, str]:
        """Return the spec hashes of callable files in sub-folders, by path. Locks nothing.

        ``paths``: only these files.
        """
        c = t.callable_files.c
        query = select(c.path, c.spec_hash)
        if paths is not None:
            query = query.where(c.path.in_(paths))
        return dict(self._connection.execute(query).all())

    def delete_callable_files(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), 500):
            found = t.callable_files.c.path.in_(paths[start : start + 500])
            self._connection.execute(delete(t.callable_files).where(found))

    def spec_texts(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return spec texts by hash."""
        query = select(t.specs.c.hash, t.specs.c.yaml).where(t.specs.c.hash.in_(hashes))
        return dict(self._connection.execute(query).all())

    def add_specs(self, texts: Mapping[str, str], now: datetime) -> None:
        """Store spec texts by hash; skips texts that are stored already, which count as used from now on."""
        # In this order: a text that is deleted meanwhile is inserted again, and one that is not can be deleted no more.
        c = t.specs.c
        marked = update(t.specs).where(c.hash.in_(sorted(texts)), c.unused_since.is_not(None))
        self._connection.execute(marked.values(unused_since=None))
        rows = [{"hash": name, "yaml": text, "created_at": now} for name, text in sorted(texts.items())]
        self._insert_new(t.specs, rows)

    def add(self, rows: Sequence[NewRow]) -> None:
        """Insert DAGs. Raises ``AlreadyExists`` if a file name is taken."""
        self._insert(t.dags, rows)

    def add_versions(self, rows: Sequence[NewRow]) -> None:
        """Insert versions of DAGs. Raises ``AlreadyExists`` if a DAG has a version with the same number."""
        self._insert(t.dag_versions, rows)

    def put_callable_files(self, spec_hashes: Mapping[str, str]) -> None:
        """Store the spec hashes of callable files in sub-folders, by path."""
        rows = [{"path": path, "spec_hash": spec_hash} for path, spec_hash in sorted(spec_hashes.items())]
        self._put(t.callable_files, rows, ["spec_hash"])

    def version(self, file_name: str, version: int) -> FoundRow | None:
        """Return one version of a DAG (its ``spec_hash`` and ``by``), or ``None`` if there is no such version."""
        v = t.dag_versions.c
        return self._first(select(v.spec_hash, v.by).where(v.file_name == file_name, v.version == version))

    def called(self, name: str) -> FoundRow | None:
        """Return the DAG whose file name is ``name``, else the first by file name whose DAG name is ``name``.

        The result has its ``file_name``, ``spec_hash`` and ``errors``.
        """
        c = t.dags.c
        query = select(c.file_name, c.spec_hash, c.errors)
        by_name = query.where(c.dag_name == name).order_by(c.file_name).limit(1)
        return self._first(query.where(c.file_name == name)) or self._first(by_name)
