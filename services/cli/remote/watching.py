"""``dagway watch`` and ``dagway events``: runs as they change."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.tables import table
from services.cli.output.terminal import JSON_OPTION, echo, echo_line_json, on_terminal, status_text
from services.cli.output.times import duration, seconds_between, short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import RUN_ID
from services.cli.remote.event_stream import follow
from services.cli.remote.following import end_with_result, exit_code, follow_run, say_change, show_live
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import LATEST, QUEUED, RUN_ARGUMENT, RUNNING, WAITING, name_on_server
from services.cli.remote.patience import Patience

__all__ = ["active_lines", "events_command", "watch_command"]

_SHOWN = 30


@click.command("watch", cls=PageCommand, examples="\ndagway watch\ndagway watch report\ndagway watch report abc123\n")
@click.argument("dag", default="")
@RUN_ARGUMENT
@RUN_ID
@JSON_OPTION
@with_gateway
def watch_command(gateway: Gateway, *, dag: str, run: str, run_id: str, in_json: bool) -> None:
    """Follow a run, or all runs, live.

    With DAG, follow its newest run, or RUN, until it ends; the exit code is its result. Without DAG, show all runs that
    are queued, running or waiting, until Ctrl-C; that needs a terminal. Ctrl-C leaves the runs alone. With --json, each
    state is one line.
    """
    if not dag:
        _watch_all(gateway, in_json=in_json)
        return
    name, live = name_on_server(gateway, dag), on_terminal() and not in_json
    runs = follow_run(gateway, name, run or run_id or LATEST, on_change=None if live or in_json else say_change)
    if live:
        last = show_live(runs)
    else:
        for last in runs:
            if in_json:
                echo_line_json(last)
    if in_json:
        sys.exit(exit_code(last))
    end_with_result(gateway, last, quiet=False, in_json=False)


def _active(gateway: Gateway) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    for status in (WAITING, RUNNING, QUEUED):
        runs += gateway.get("/dag-runs", cursor="", limit=_SHOWN, status=status)["dagRuns"]
    return runs


def active_lines(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line with the number of active runs, then a table of them."""
    now = datetime.now(UTC)
    rows = [
        (
            run["name"],
            run["dagRunId"],
            status_text(run["statusLabel"]),
            duration(seconds_between(run["startedAt"] or run.get("queuedAt", ""), "", now)),
            run.get("waitingFor") or ("approval" if run["statusLabel"] == "waiting" else ""),
        )
        for run in runs
    ]
    yield f"{len(rows)} active {'run' if len(rows) == 1 else 'runs'}, {now:%H:%M:%S}Z (Ctrl-C to leave)"
    if rows:
        yield from table(("DAG", "RUN", "STATUS", "SINCE", "WAITS FOR"), rows)


def _watch_all(gateway: Gateway, *, in_json: bool) -> None:
    runs, patience = _active(gateway), Patience()
    if in_json or not on_terminal():
        if not in_json:
            raise click.UsageError("without a terminal, give a DAG, or use dagway events")
        echo_line_json({"dagRuns": runs})
        for _event in follow(gateway, "/events", patience=patience):
            echo_line_json({"dagRuns": patience.insist(lambda: _active(gateway))})
        return
    from services.cli.output.live import LiveLines  # noqa: PLC0415 - rich takes 0.1 s to import

    with LiveLines(lambda: active_lines(runs)):
        for _event in follow(gateway, "/events", patience=patience):
            runs[:] = patience.insist(lambda: _active(gateway))


@click.command("events", cls=PageCommand, examples="\ndagway events\ndagway events report --json | jq .became\n")
@click.argument("dag", default="")
@RUN_ARGUMENT
@RUN_ID
@click.option("--after", "last_id", default="", metavar="ID", help="begin after the event with this id")
@JSON_OPTION
@with_gateway
def events_command(gateway: Gateway, *, dag: str, run: str, run_id: str, last_id: str, in_json: bool) -> None:
    """Print each change of a run or a step as it happens.

    With DAG, those of its newest run, or of RUN, from its beginning to its end. Without DAG, those of all runs from now
    on, until Ctrl-C. After a lost connection the command goes on without a gap; with --after, so does a new command.
    """
    # A stream is opened again for minutes; a server that was never there is a mistake.
    gateway.health()
    where = "/events"
    if dag:
        where = f"{path('dag-runs', name_on_server(gateway, dag), run or run_id or LATEST)}/events"
    for event in follow(gateway, where, last_id=last_id):
        if in_json:
            echo_line_json({"id": event.id, **event.data})
        else:
            echo(_event_line(event.data))


def _event_line(change: dict[str, Any]) -> str:
    step = f" step {change['stepName']}" if change.get("stepName") else ""
    why = f": {change['why']}" if change.get("why") else ""
    by = f" (by {change['by']})" if change.get("by") else ""
    became = status_text(change["became"])
    return f"{short_time(change['at'])} {change['name']}/{change['dagRunId']}{step} {became}{why}{by}".replace(
        "\n", " "
    )
