"""``dagway ls``: the DAGs of a server."""

from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_json, echo_table, say, status_text
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import dag_name
from services.cli.remote.gateway import Gateway

__all__ = ["all_dags", "ls_command"]

_PAGE = 200


def all_dags(gateway: Gateway, part: str = "", tag: str = "") -> tuple[list[dict[str, Any]], list[str]]:
    """Return the DAGs that match, and a line for each file of the DAG folder that cannot be loaded."""
    dags: list[dict[str, Any]] = []
    page: int | None = 1
    errors: list[str] = []
    while page:
        answer = gateway.get("/dags", page=page, perPage=_PAGE, name=part or None, tag=tag or None)
        dags += answer["dags"]
        errors, page = answer["errors"], answer["pagination"]["nextPage"]
    return dags, errors


@click.command("ls", cls=PageCommand, examples="\ndagway ls\ndagway ls report\ndagway ls --tag nightly\n")
@click.argument("part", default="", metavar="[PART]")
@click.option("--tag", default="", help="only DAGs with this tag")
@JSON_OPTION
@with_gateway
def ls_command(gateway: Gateway, *, part: str, tag: str, in_json: bool) -> None:
    """List DAGs.

    With PART, those whose name contains it. Files that cannot be loaded are named on stderr, with the reason.
    """
    dags, errors = all_dags(gateway, part, tag)
    if in_json:
        echo_json({"dags": dags, "errors": errors})
        return
    empty = "no DAG matches" if part or tag else "no DAGs"
    echo_table(("DAG", "SCHEDULE", "NEXT", "LAST", "BEGAN"), [_row(each) for each in dags], empty=empty)
    for error in errors:
        say(error)


def _row(dag: dict[str, Any]) -> tuple[str, ...]:
    latest = dag["latestDAGRun"]
    schedule = ", ".join(each["expression"] for each in dag["dag"].get("schedule", []))
    status = latest["statusLabel"] if latest["dagRunId"] else ""
    if dag["errors"]:
        schedule = f"invalid: {dag['errors'][0]}"
    elif dag["suspended"]:
        schedule = f"{schedule} (suspended)".strip()
    elif dag.get("waitingFor") and "nextRun" not in dag:
        schedule = f"{schedule} (paused)".strip()
    return (
        dag_name(dag["fileName"]),
        schedule,
        "" if dag["suspended"] else short_time(dag.get("nextRun", "")),
        status_text(status) if status else "",
        short_time(latest["startedAt"]),
    )
