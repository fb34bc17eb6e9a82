"""Conditions whose SQL differs between Postgres and SQLite."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, TableValuedAlias, column
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from shared.store.functions import spelled

__all__ = ["among", "contains", "elements", "has_element"]


@spelled(postgres="(strpos({0}, {1}) > 0)", sqlite="(instr({0}, {1}) > 0)")
class contains(FunctionElement[bool]):  # noqa: N801 - used as an SQL function
    """``contains(column, text)``: case-sensitive search for a substring, without wildcards.

    LIKE would be case-insensitive on SQLite.
    """

    type = Boolean()


@spelled(
    postgres="EXISTS (SELECT 1 FROM json_array_elements_text({0}) AS item(value) WHERE item.value = {1})",
    sqlite="EXISTS (SELECT 1 FROM json_each({0}) AS item WHERE item.value = {1})",
)
class has_element(FunctionElement[bool]):  # noqa: N801 - used as an SQL function
    """``has_element(column, text)``: whether a JSON array of strings has this element."""

    type = Boolean()


@spelled(postgres="({0} = ANY (ARRAY{1}))", sqlite="({0} IN {1})")
class among(FunctionElement[Any]):  # noqa: N801 - as above
    """``among(column, subquery)``: like ``column IN (subquery)``, but always uses the column's index.

    The condition has no SQL type: as a Boolean, SQLAlchemy would render ``(...) = 1`` on SQLite, which prevents the
    use of the index.
    """

    type = NullType()


@spelled(postgres="json_array_elements_text(CAST({0} AS JSON))", sqlite="json_each({0})")
class _elements(FunctionElement[Any]):  # noqa: N801 - as above
    type = NullType()


def elements(array: ColumnElement[str]) -> TableValuedAlias:
    """Return the table of the elements of a JSON array of strings; its column is ``value``.

    So a statement gets any number of texts as one parameter, and its text stays the same.
    """
    return _elements(array).table_valued(column("value", String))
