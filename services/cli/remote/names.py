"""Finds the DAG and the run that arguments mean."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from services.cli.exit_codes import GatewayError
from services.cli.remote.dagu_flags import dag_name
from services.cli.remote.gateway import Gateway, path

__all__ = [
    "DAG_ARGUMENT",
    "LATEST",
    "NOT_FOUND",
    "QUEUED",
    "RUNNING",
    "RUN_ARGUMENT",
    "WAITING",
    "name_on_server",
    "run_ids",
]

F = TypeVar("F", bound=Callable[..., Any])
DAG_ARGUMENT: Callable[[F], F] = click.argument("dag")
RUN_ARGUMENT: Callable[[F], F] = click.argument("run", default="")
LATEST = "latest"
NOT_FOUND = 404
RUNNING, QUEUED, WAITING = 1, 5, 7
"""Status numbers of runs in the API."""


def name_on_server(gateway: Gateway, text: str) -> str:
    """Return the name of a DAG's runs, given the DAG's name or the path of its file.

    The runs of a DAG have the name in its spec, which may differ from that of its file.
    """
    stem = dag_name(text)
    try:
        return str(gateway.get(path("dags", stem))["dag"]["name"])
    except GatewayError as error:
        if error.status != NOT_FOUND:
            raise
        return stem


def run_ids(gateway: Gateway, name: str, *statuses: int) -> list[str]:
    """Return the ids of the runs of a DAG that have one of these statuses, the newest first."""
    return [
        str(run["dagRunId"])
        for status in statuses
        for run in gateway.get(path("dag-runs", name), status=status)["dagRuns"]
    ]
