"""``dagway cleanup``: delete old runs of a DAG."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo, echo_json
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, dagu_flags
from services.cli.remote.following import ACTIVE
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import DAG_ARGUMENT, name_on_server

__all__ = ["cleanup_command"]

_AT_ONCE = 500
"""How many runs the server deletes in one request."""
_EXAMPLES = """
dagway cleanup report                         delete all runs of the DAG that have ended
dagway cleanup --retention-days 30 report     keep those of the last 30 days
dagway cleanup --dry-run report               show what would be deleted
"""


@click.command("cleanup", cls=PageCommand, examples=_EXAMPLES)
@DAG_ARGUMENT
@click.option(
    "--retention-days",
    type=click.IntRange(0, 100_000),
    default=0,
    show_default=True,
    metavar="DAYS",
    help="keep runs that ended within this many days",
)
@click.option("--dry-run", is_flag=True, help="show which runs would be deleted, and delete none")
@click.option("-y", "--yes", is_flag=True, help="do not ask for confirmation")
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def cleanup_command(
    gateway: Gateway, *, dag: str, retention_days: int, dry_run: bool, yes: bool, quiet: bool, in_json: bool
) -> None:
    """Delete old runs of a DAG, with their sub-runs and logs.

    Runs that have not ended are kept. The server also deletes old runs by itself, after the DAG's `histRetentionDays`.
    """
    name = name_on_server(gateway, dag)
    runs = _ended_before(gateway, name, datetime.now(UTC) - timedelta(days=retention_days))
    if runs and not (dry_run or yes):
        click.confirm(f"Delete {_count(runs)} of {name}?", abort=True, err=True)
    if not dry_run:
        _remove(gateway, runs)
    if in_json:
        echo_json({"runs": runs, "removed": not dry_run})
    elif not quiet:
        if dry_run:
            for run in runs:
                echo(f"{run['name']}/{run['dagRunId']}")
        echo(f"{_count(runs)} of {name} {'would be deleted' if dry_run else 'deleted'}")


def _count(runs: list[dict[str, str]]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _ended_before(gateway: Gateway, name: str, end: datetime) -> list[dict[str, str]]:
    """Return name and id of each run of a DAG that ended before ``end``, the newest first."""
    runs: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = gateway.get(path("dag-runs", name), cursor=cursor, limit=_AT_ONCE)
        runs += answer["dagRuns"]
        cursor = answer["nextCursor"] or None
    return [
        {"name": run["name"], "dagRunId": run["dagRunId"]}
        for run in runs
        if run["statusLabel"] not in ACTIVE and datetime.fromisoformat(run["finishedAt"]) < end
    ]


def _remove(gateway: Gateway, runs: list[dict[str, str]]) -> None:
    """Delete these runs. Raises ``GatewayError`` if one is refused, after the others of its request."""
    for start in range(0, len(runs), _AT_ONCE):
        answer = gateway.post("/dag-runs/bulk/remove", {"runs": runs[start : start + _AT_ONCE]})
        # A run that is gone or runs again is as it should be.
        expected = ("not_found", "already_running")
        refused = [each for each in answer["results"] if each.get("code") and each["code"] not in expected]
        if refused:
            raise GatewayError(f"{refused[0]['name']}/{refused[0]['dagRunId']}: {refused[0]['message']}")
