"""Finds the DAG and the run that arguments mean."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from services.cli.errors import GatewayError
from services.cli.remote.dagu_flags import dag_name
from services.cli.remote.gateway import Gateway, path
from shared.status import RUN_LABELS

__all__ = [
    "DAG_ARGUMENT",
    "LATEST",
    "NOT_FOUND",
    "QUEUED",
    "RUNNING",
    "RUN_ARGUMENT",
    "WAITING",
    "name_on_server",
    "require_dag",
    "run_ids",
]

F = TypeVar("F", bound=Callable[..., Any])
DAG_ARGUMENT: Callable[[F], F] = click.argument("dag")
RUN_ARGUMENT: Callable[[F], F] = click.argument("run", default="")
LATEST = "latest"
NOT_FOUND = 404
RUNNING, QUEUED, WAITING = map(RUN_LABELS.index, ("running", "queued", "waiting"))
"""Status numbers of runs in the API."""


def name_on_server(gateway: Gateway, text: str) -> str:
    """Return the name of a DAG's runs, given the DAG's name or the path of its file.

    The runs of a DAG have the name in its spec, which may differ from that of its file.
    """
    return _stored_name(gateway, text) or dag_name(text)


def require_dag(gateway: Gateway, text: str) -> None:
    """Raise ``GatewayError`` if the server has neither a DAG of this name nor a run of it, for instance of a file."""
    name = dag_name(text)
    if not _stored_name(gateway, text) and not gateway.get(path("dag-runs", name), limit=1)["dagRuns"]:
        raise GatewayError(f"there is no DAG {name!r}", status=NOT_FOUND, error_code="not_found")


def _stored_name(gateway: Gateway, text: str) -> str:
    """Return the name in the spec of a stored DAG, or an empty text if the server has no such DAG."""
    try:
        return str(gateway.get(path("dags", dag_name(text)))["dag"]["name"])
    except GatewayError as error:
        if error.status != NOT_FOUND:
            raise
        return ""


def run_ids(gateway: Gateway, name: str, *statuses: int) -> list[str]:
    """Return the ids of the runs of a DAG that have one of these statuses, the newest first."""
    return [
        str(run["dagRunId"])
        for status in statuses
        for run in gateway.get(path("dag-runs", name), status=status)["dagRuns"]
    ]
