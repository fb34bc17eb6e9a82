"""Reading definitions."""

from collections.abc import Iterable, Sequence
from typing import Literal

from sqlalchemy import ColumnElement, func, select

from shared.store import tables as t
from shared.store.engine import bytewise, contains, has_element
from shared.store.reads_base import AnyRow, AnySelect, Reader
from shared.store.reads_rows import Dag, DagPage

__all__ = ["DagReads"]

_d = t.dags.c
_COLUMNS = (
    _d.file_name,
    _d.dag_name,
    _d.version,
    _d.summary,
    _d.tags,
    _d.errors,
    _d.suspended,
    _d.spec_hash,
    _d.created_at,
    _d.updated_at,
)


def _dag(row: AnyRow, spec: str | None = None) -> Dag:
    return Dag(
        file_name=row.file_name,
        dag_name=row.dag_name,
        version=row.version,
        summary=row.summary,
        tags=tuple(row.tags),
        errors=tuple(row.errors),
        suspended=row.suspended,
        spec_hash=row.spec_hash,
        created_at=row.created_at,
        updated_at=row.updated_at,
        spec=spec,
    )


def _matching(name: str, tag: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if name:
        conditions.append(contains(func.lower(_d.file_name), name.lower()))
    if tag:
        # Tags are kept in lower case.
        conditions.append(has_element(_d.tags, tag.lower()))
    return conditions


def _by_name(order: Literal["asc", "desc"]) -> list[ColumnElement[str]]:
    keys: Sequence[ColumnElement[str]] = (bytewise(func.lower(_d.dag_name)), bytewise(_d.file_name))
    return [key.desc() if order == "desc" else key.asc() for key in keys]


class DagReads(Reader):
    """Definitions by their file names (without extension)."""

    def dag(self, file_name: str) -> Dag | None:
        """Return one dag with its spec's text."""
        query = select(*_COLUMNS, t.specs.c.yaml).join_from(t.dags, t.specs).where(_d.file_name == file_name)
        with self._snapshot() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _dag(row, row.yaml)

    def dag_page(
        self, *, name: str = "", tag: str = "", order: Literal["asc", "desc"] = "asc", page: int = 1, per_page: int = 50
    ) -> DagPage:
        """Return one page of the dags, by dag name without regard to case, and how many match.

        ``name``: part of the file name, in any case. ``tag``: one tag. Empty: any. ``page`` from 1.
        """
        where = _matching(name, tag)
        query = select(*_COLUMNS).where(*where).order_by(*_by_name(order))
        with self._snapshot() as connection:
            total = connection.execute(select(func.count()).select_from(t.dags).where(*where)).scalar_one()
            rows = connection.execute(query.limit(per_page).offset((page - 1) * per_page)).all()
        return DagPage(tuple(_dag(row) for row in rows), total)

    def dags(self, *, name: str = "", tag: str = "", order: Literal["asc", "desc"] = "asc") -> tuple[Dag, ...]:
        """Return all matching dags, ordered as in ``dag_page``: for whoever sorts by something else."""
        return self._dags(select(*_COLUMNS).where(*_matching(name, tag)).order_by(*_by_name(order)))

    def dags_with_specs(self) -> tuple[Dag, ...]:
        """Return every dag with its spec's text, by file name."""
        query = select(*_COLUMNS, t.specs.c.yaml).join_from(t.dags, t.specs).order_by(bytewise(_d.file_name))
        with self._snapshot() as connection:
            return tuple(_dag(row, row.yaml) for row in connection.execute(query))

    def tags(self) -> tuple[str, ...]:
        """Return the distinct tags of all dags, sorted."""
        with self._snapshot() as connection:
            lists = connection.execute(select(_d.tags)).scalars().all()
        return tuple(sorted({tag for tags in lists for tag in tags}))

    def specs(self, hashes: Iterable[str]) -> dict[str, str]:
        """Return the texts of those specs that exist, by hash."""
        query = select(t.specs.c.hash, t.specs.c.yaml).where(t.specs.c.hash.in_(sorted(set(hashes))))
        with self._snapshot() as connection:
            return {row.hash: row.yaml for row in connection.execute(query)}

    def _dags(self, query: AnySelect) -> tuple[Dag, ...]:
        with self._snapshot() as connection:
            return tuple(_dag(row) for row in connection.execute(query))
