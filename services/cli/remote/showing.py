"""``dagway status`` and ``dagway history``."""

import sys
from datetime import UTC, datetime
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_json, echo_list, echo_output, status_text
from services.cli.output.times import duration, seconds_between, short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, RUN_ID, dagu_flags
from services.cli.remote.following import details, exit_code, last_lines, print_run
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import DAG_ARGUMENT, LATEST, RUN_ARGUMENT, name_on_server
from shared.status import RUN_LABELS

__all__ = ["history_command", "status_command"]


@click.command("status", cls=PageCommand, examples="\ndagway status report\ndagway status --run-id=abc123 report\n")
@DAG_ARGUMENT
@RUN_ARGUMENT
@RUN_ID
@click.option("--exit-code", "as_exit_code", is_flag=True, help="exit with 1 if the run failed")
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def status_command(
    gateway: Gateway, *, dag: str, run: str, run_id: str, as_exit_code: bool, quiet: bool, in_json: bool
) -> None:
    """Show a run and its steps.

    Without RUN, the newest run of the DAG.
    """
    name = name_on_server(gateway, dag)
    found = details(gateway, name, run or run_id or LATEST)
    if in_json:
        echo_json(found)
    elif not quiet:
        print_run(found)
        for line in last_lines(gateway, found):
            echo_output(line)
    if as_exit_code:
        sys.exit(exit_code(found))


@click.command("history", cls=PageCommand, examples="\ndagway history report --status failed --limit 5\n")
@click.argument("dag", default="")
@click.option("--status", type=click.Choice(RUN_LABELS), help="only runs with this status")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="how many runs")
@JSON_OPTION
@with_gateway
def history_command(gateway: Gateway, *, dag: str, status: str | None, limit: int, in_json: bool) -> None:
    """List runs, the newest first.

    Without DAG, the runs of all DAGs.
    """
    where = path("dag-runs", name_on_server(gateway, dag)) if dag else "/dag-runs"
    number = None if status is None else RUN_LABELS.index(status)
    # An empty cursor asks for the first page; without a cursor the API ignores the limit.
    answer = gateway.get(where, cursor="", limit=limit, status=number)
    head = ("DAG", "RUN", "STATUS", "BEGAN", "TOOK", "PARAMS")
    echo_list(answer, head, map(_row, answer["dagRuns"]), empty="no runs", in_json=in_json)


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    took = duration(seconds_between(run["startedAt"], run["finishedAt"], datetime.now(UTC)))
    began = short_time(run["startedAt"]) or short_time(run.get("queuedAt", ""))
    return (run["name"], run["dagRunId"], status_text(run["statusLabel"]), began, took, run.get("params", ""))
