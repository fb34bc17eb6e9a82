"""Conditions on rows of DAGs."""

from sqlalchemy import ColumnElement, Text, cast

from shared.store import tables as t

__all__ = ["FAULTY"]

FAULTY: ColumnElement[bool] = cast(t.dags.c.errors, Text) != "[]"
"""The spec of the DAG has errors."""
