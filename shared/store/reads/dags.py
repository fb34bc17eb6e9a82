"""Reads of DAG definitions."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Integer, String, Text, bindparam, cast, func, select

from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.queries.dags import FAULTY
from shared.store.queries.matching import contains, has_element
from shared.store.reads.base import AnySelect, Reader
from shared.store.reads.rows import DagPage, DagRow, DagSpec

__all__ = ["DagReads"]

_d = t.dags.c
_DAGS = t.dags.outerjoin(t.schedules, t.schedules.c.file_name == t.dags.c.file_name)
_NEXT_START = t.schedules.c.next_start_at
_COLUMNS = (
    _d.file_name,
    _d.dag_name,
    _d.version,
    _d.errors,
    _d.suspended,
    _d.spec_hash,
    _d.created_at,
    _d.updated_at,
    _NEXT_START,
)
_ERRORS = _COLUMNS.index(_d.errors)


def _select(*more: ColumnElement[Any]) -> AnySelect:
    return select(*_COLUMNS, *more).select_from(_DAGS)


def _dag(row: Sequence[Any], spec: str | None = None) -> DagRow:
    """Convert a row of ``_COLUMNS``, which are in the order of ``DagRow``."""
    values = [*row[: len(_COLUMNS)], spec]
    values[_ERRORS] = tuple(values[_ERRORS])
    return DagRow(*values)


def _matching(name: bool, tag: bool, faulty: bool, file_name: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Return the conditions of these filters, with the parameters ``name``, ``tag`` and ``tag_text``."""
    conditions: list[ColumnElement[bool]] = []
    if name:
        conditions.append(contains(func.lower(file_name), bindparam("name", type_=String)))
    if tag:
        # Tags are stored in lower case. A quick search in the JSON text leaves few rows; only those are parsed.
        conditions.append(contains(cast(_d.tags, Text), bindparam("tag_text", type_=String)))
        conditions.append(has_element(_d.tags, bindparam("tag", type_=String)))
    if faulty:
        conditions.append(FAULTY)
    return conditions


def _by_name(order: Literal["asc", "desc"]) -> list[ColumnElement[Any]]:
    keys: Sequence[ColumnElement[str]] = (bytewise(func.lower(_d.dag_name)), bytewise(_d.file_name))
    return [key.desc() if order == "desc" else key.asc() for key in keys]


class DagReads(Reader):
    """Reads of DAG definitions by file name (without extension)."""

    def dag(self, file_name: str) -> DagRow | None:
        """Return one DAG with its spec's text."""
        query = _select(t.specs.c.yaml).join(t.specs, t.specs.c.hash == _d.spec_hash).where(_d.file_name == file_name)
        with self._statement() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _dag(row, row.yaml)

    def dag_name(self, file_name: str) -> str | None:
        """Return the name that the runs of one DAG have. Cheaper than ``dag``, which reads the spec's text."""
        with self._statement() as connection:
            return connection.execute(select(_d.dag_name).where(_d.file_name == file_name)).scalar_one_or_none()

    def dag_page(
        self,
        *,
        name: str = "",
        tag: str = "",
        faulty: bool = False,
        sort: Literal["name", "next_start"] = "name",
        order: Literal["asc", "desc"] = "asc",
        page: int = 1,
        per_page: int = 50,
    ) -> DagPage:
        """Return one page of the matching DAGs, and the number of matching DAGs.

        ``name``: a case-insensitive substring of the file name. ``tag``: a tag that the DAG must have. ``faulty``: only
        DAGs whose spec has errors. An empty filter matches every DAG. The first ``page`` is 1. Sorted by
        case-insensitive DAG name, or by the next start; DAGs without a next start come last in both orders.
        """
        filters = (bool(name), bool(tag), faulty)

        def where() -> list[ColumnElement[bool]]:
            return [self._ours(_d.file_name), *_matching(*filters, self._plain(_d.file_name))]

        def matches() -> AnySelect:
            return select(func.count()).select_from(t.dags).where(*where())

        def one_page() -> AnySelect:
            keys: list[ColumnElement[Any]] = _by_name(order)
            if sort == "next_start":
                keys = [_NEXT_START.is_(None), _NEXT_START.desc() if order == "desc" else _NEXT_START.asc(), *keys]
            # The same statement counts the matches, unless the page is empty.
            query = _select(matches().scalar_subquery().label("total")).where(*where()).order_by(*keys)
            return query.limit(bindparam("per_page", type_=Integer)).offset(bindparam("behind", type_=Integer))

        listed = self._prepared(("dag page", filters, sort, order), one_page)
        tag_text = json.dumps(tag.lower(), ensure_ascii=False)[1:-1]
        given = {"name": name.lower(), "tag": tag.lower(), "tag_text": tag_text}
        rows = listed.rows(self._engine, **given, per_page=per_page, behind=(page - 1) * per_page)
        if rows:
            return DagPage(tuple([_dag(row) for row in rows]), rows[0][-1])
        [[count]] = self._prepared(("dags", filters), matches).rows(self._engine, **given)
        return DagPage((), count)

    def dag_specs(self) -> tuple[DagSpec, ...]:
        """Return which spec every DAG has, sorted by file name."""
        query = select(_d.file_name, _d.dag_name, _d.spec_hash).where(self._ours(_d.file_name))
        with self._statement() as connection:
            return tuple([DagSpec(*row) for row in connection.execute(query.order_by(bytewise(_d.file_name)))])

    def dag_names(self) -> frozenset[str]:
        """Return the names of all DAGs, which runs have."""
        with self._statement() as connection:
            return frozenset(connection.execute(select(_d.dag_name).where(self._ours(_d.dag_name))).scalars())

    def tags(self) -> tuple[str, ...]:
        """Return the distinct tags of all DAGs, sorted."""
        # Many DAGs have the same tags, so there are few different lists.
        different = select(cast(_d.tags, Text)).where(self._ours(_d.file_name)).distinct()
        with self._statement() as connection:
            lists = connection.execute(different).scalars().all()
        return tuple(sorted({tag for tags in lists for tag in json.loads(tags)}))

    def faulty_dags(self) -> dict[str, tuple[str, ...]]:
        """Return the errors of each stored DAG whose spec has errors, by file name, sorted."""
        query = select(_d.file_name, _d.errors).where(FAULTY, self._ours(_d.file_name))
        query = query.order_by(bytewise(_d.file_name))
        with self._statement() as connection:
            return {row.file_name: tuple(row.errors) for row in connection.execute(query)}

    def refused_files(self) -> dict[str, str]:
        """Return why files of the DAG folder cannot be loaded, by file name, sorted."""
        c = t.passed_over.c

        def refused() -> AnySelect:
            found = select(c.name, c.problem).where(c.kind == "refused", self._ours(c.name))
            return found.order_by(bytewise(c.name))

        rows = self._prepared("refused files", refused).rows(self._engine)
        return {row[0]: row[1] for row in rows}

    def specs(self, hashes: Iterable[str]) -> dict[str, str]:
        """Return spec texts by hash. Hashes that are not stored are left out."""
        query = select(t.specs.c.hash, t.specs.c.yaml).where(t.specs.c.hash.in_(sorted(set(hashes))))
        with self._statement() as connection:
            return {row.hash: row.yaml for row in connection.execute(query)}
