"""Summaries: the fields of a dag that lists show. They are stored with the spec, so that lists parse no specs."""

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
    """Return the summary of a dag, as JSON values."""
    return dag.model_dump(mode="json", include=_FIELDS, exclude_defaults=True)


def summary_dag(summary: dict[str, Any]) -> Dag:
    """Return a dag with only the fields of ``summary``."""
    return Dag.model_validate(summary)
