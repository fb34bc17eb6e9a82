"""``dagway why``: show what a run, its steps or the schedule of a DAG waits for."""

from collections.abc import Iterator
from typing import Any

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo, echo_json
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import RUN_ID, dag_name
from services.cli.remote.following import details
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import (
    DAG_ARGUMENT,
    NOT_FOUND,
    QUEUED,
    RUN_ARGUMENT,
    RUNNING,
    WAITING,
    require_dag,
    run_ids,
)

__all__ = ["why_command"]


@click.command("why", cls=PageCommand, examples="\ndagway why report latest\ndagway why report\n")
@DAG_ARGUMENT
@RUN_ARGUMENT
@RUN_ID
@JSON_OPTION
@with_gateway
def why_command(gateway: Gateway, *, dag: str, run: str, run_id: str, in_json: bool) -> None:
    """Show what a run and its steps wait for.

    RUN is its id or "latest". Without RUN, show what the schedule of DAG and all its runs that have not ended wait for.
    """
    name, chosen = dag_name(dag), run or run_id
    runs = [details(gateway, name, chosen)] if chosen else []
    schedule: dict[str, Any] = {}
    if not chosen:
        schedule, runs = _of_dag(gateway, name)
    waits = [each for run_details in runs for each in _waits_of(run_details)]
    if in_json:
        echo_json({"schedule": schedule.get("waitingFor", ""), "waits": waits})
        return
    if chosen and not waits:
        echo(f"{name}/{runs[0]['dagRunId']} is {runs[0]['statusLabel']} and waits for nothing")
    if not chosen:
        scheduled = schedule and schedule["dag"].get("schedule")
        nothing = "its schedule waits for nothing" if scheduled else "no schedule starts it"
        echo("\n  ".join([f"{name}: {schedule.get('waitingFor') or nothing}", *schedule.get("errors", ())]))
    for each in waits:
        step = f", step {each['step']}" if each["step"] else f" is {each['statusLabel']}"
        echo(f"{each['name']}/{each['dagRunId']}{step}, waits for: {each['waitingFor']}")


def _of_dag(gateway: Gateway, file_name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a DAG, and its runs that have not ended. A DAG that the server does not keep, only its runs, is empty."""
    stored: dict[str, Any] = {}
    try:
        stored = gateway.get(path("dags", file_name))
    except GatewayError as error:
        if error.status != NOT_FOUND:
            raise
        require_dag(gateway, file_name)
    name = stored["dag"]["name"] if stored else file_name
    return stored, [details(gateway, name, each) for each in run_ids(gateway, name, QUEUED, RUNNING, WAITING)]


def _waits_of(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    about = {"name": run["name"], "dagRunId": run["dagRunId"]}
    reasons = [(node, _reason(node)) for node in run["nodes"]]
    # The reason of a running run repeats what its steps say.
    if run.get("waitingFor") and not any(why for _, why in reasons):
        yield {**about, "step": "", "statusLabel": run["statusLabel"], "waitingFor": run["waitingFor"]}
    for node, why in reasons:
        if why:
            yield {**about, "step": node["step"]["name"], "statusLabel": node["statusLabel"], "waitingFor": why}


def _reason(node: dict[str, Any]) -> str:
    asks = "approval (dagway approve lists it)" if node["statusLabel"] == "waiting" else ""
    return str(node.get("waitingFor") or asks)
