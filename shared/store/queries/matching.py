"""Conditions whose SQL differs between Postgres and SQLite."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, TableValuedAlias, column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

__all__ = ["among", "contains", "elements", "has_element"]


class contains(FunctionElement[bool]):  # noqa: N801 - used as an SQL function
    """``contains(column, text)``: case-sensitive search for a substring, without wildcards.

    LIKE would be case-insensitive on SQLite.
    """

    type = Boolean()
    name = "contains"
    inherit_cache = True


@compiles(contains, "postgresql")
def _contains_postgres(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **kw)}) > 0)"


@compiles(contains, "sqlite")
def _contains_sqlite(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **kw)}) > 0)"


class has_element(FunctionElement[bool]):  # noqa: N801 - used as an SQL function
    """``has_element(column, text)``: whether a JSON array of strings has this element."""

    type = Boolean()
    name = "has_element"
    inherit_cache = True


@compiles(has_element, "postgresql")
def _has_element_postgres(element: has_element, compiler: SQLCompiler, **kw: Any) -> str:
    array, item = (compiler.process(clause, **kw) for clause in element.clauses)
    rows = f"json_array_elements_text({array}) AS item(value)"
    return f"EXISTS (SELECT 1 FROM {rows} WHERE item.value = {item})"  # noqa: S608 - both are compiled SQL


@compiles(has_element, "sqlite")
def _has_element_sqlite(element: has_element, compiler: SQLCompiler, **kw: Any) -> str:
    array, item = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({array}) AS item WHERE item.value = {item})"  # noqa: S608 - as above


class among(FunctionElement[Any]):  # noqa: N801 - as above
    """``among(column, subquery)``: like ``column IN (subquery)``, but always uses the column's index.

    The condition has no SQL type: as a Boolean, SQLAlchemy would render ``(...) = 1`` on SQLite, which prevents the
    use of the index.
    """

    type = NullType()
    name = "among"
    inherit_cache = True


@compiles(among, "postgresql")
def _among_postgres(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, found = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} = ANY (ARRAY{found}))"


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, found = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} IN {found})"


class _elements(FunctionElement[Any]):  # noqa: N801 - as above
    type = NullType()
    name = "elements"
    inherit_cache = True


@compiles(_elements, "postgresql")
def _elements_postgres(element: _elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **kw)} AS JSON))"


@compiles(_elements, "sqlite")
def _elements_sqlite(element: _elements, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


def elements(array: ColumnElement[str]) -> TableValuedAlias:
    """Return the table of the elements of a JSON array of strings; its column is ``value``.

    So a statement gets any number of texts as one parameter, and its text stays the same.
    """
    return _elements(array).table_valued(column("value", String))
