"""Summaries: what lists of dags show, stored beside the spec so that a list parses nothing."""

from typing import Any

from shared.language.model import Dag

__all__ = ["summarise", "summary_dag"]

_FIELDS = {
    "name",
    "group",
    "description",
    "schedule",
    "tags",
    "params",
    "queue",
    "max_active_runs",
    "run_config",
}


def summarise(dag: Dag) -> dict[str, Any]:
    """Return the listed fields of a dag as JSON values."""
    return dag.model_dump(mode="json", include=_FIELDS, exclude_defaults=True)


def summary_dag(summary: dict[str, Any]) -> Dag:
    """Return a dag that has only the listed fields."""
    return Dag.model_validate(summary)
