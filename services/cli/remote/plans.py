"""``dagway plan``: what a run of a DAG of a server would do, and how long that usually takes."""

from typing import Any

import click

from services.cli.errors import GatewayError, WorkflowInvalid
from services.cli.help_pages import PageCommand
from services.cli.output.plan_page import plan_json, plan_lines
from services.cli.output.terminal import echo, echo_json
from services.cli.output.times import duration
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import PARAMS_ARGUMENT, PARAMS_OPTION, dag_name, params_text
from services.cli.remote.gateway import Gateway, path
from shared.language.load import load
from shared.language.model import Dag
from shared.language.snapshot import make_snapshot

__all__ = ["dags_on_server", "plan_command"]

Durations = dict[str, dict[str, Any]]
"""Of each step: ``count``, ``p50Ms`` and ``p95Ms``."""


@click.command("plan", cls=PageCommand, examples="\ndagway plan report\ndagway plan report -- DAY=monday\n")
@click.argument("dag")
@PARAMS_ARGUMENT
@PARAMS_OPTION
@click.option("--json", "in_json", is_flag=True, help="print JSON")
@with_gateway
def plan_command(gateway: Gateway, *, dag: str, params: tuple[str, ...], params_option: str, in_json: bool) -> None:
    """Show what a run would do, and how long that usually takes.

    Lists the steps by stages, also those of the DAGs that it calls; steps of one stage may run at the same time. MEDIAN
    and P95 are how long a step took in the newest 100 runs of its DAG, without sub-runs: half of its successes were
    faster than the median, 95 of 100 faster than P95. Nothing is started. What the server's base configuration adds is
    not shown.
    """
    dags = dags_on_server(gateway, dag_name(dag))
    times: dict[str, Durations] = {}
    whole: dict[str, Any] = {}
    for each, stored_as in dags:
        found = gateway.get(path("dags", stored_as, "statistics")) if stored_as else {"steps": []}
        times[each.name] = {step["name"]: step for step in found["steps"]}
        whole = whole or found
    given = params_text(params, params_option)
    if in_json:
        plan = plan_json(tuple(each for each, _ in dags), given)
        for each in plan["dags"]:
            for step in each["steps"]:
                step["duration"] = times[each["name"]].get(step["name"])
        echo_json({**plan, "duration": whole.get("duration")})
        return
    shown = {
        name: {step: (_ms(took["p50Ms"]), _ms(took["p95Ms"])) for step, took in steps.items()}
        for name, steps in times.items()
    }
    for line in plan_lines(tuple(each for each, _ in dags), given, shown):
        echo(line)
    if took := whole.get("duration"):
        runs = "1 run that succeeded" if took["count"] == 1 else f"{took['count']} runs that succeeded"
        echo(f"{runs}: median {_ms(took['p50Ms'])}, P95 {_ms(took['p95Ms'])}")


def dags_on_server(gateway: Gateway, name: str, renamed: str = "", base: str = "") -> list[tuple[Dag, str]]:
    """Return the documents of a stored DAG and of the stored DAGs that it calls, directly or not.

    Each with the file name under which it is stored, or an empty text for the further documents of a file. ``renamed``
    replaces the name in the first one. ``base``: the text of the base configuration.

    Raises:
        WorkflowInvalid: a spec has errors.
        GatewayError: the server does not have the DAG.
    """
    found: list[tuple[Dag, str]] = []
    wanted = [name]
    asked: set[str] = set()
    while wanted:
        file_name = wanted.pop(0)
        asked.add(file_name)
        try:
            spec = gateway.get(path("dags", file_name, "spec"))["spec"]
        except GatewayError as error:
            if error.status not in (400, 403, 404) or not found:
                raise
            continue  # A called DAG that is not stored or not shown to this key, or whose name is a variable.
        frozen = make_snapshot(spec, base, handlers=not found)
        loaded = load(frozen, file_name=file_name, dag_name=None if found else renamed or None)
        if not loaded.ok:
            raise WorkflowInvalid("\n".join(f"{file_name}: {issue}" for issue in loaded.issues))
        found += [(each, "" if position else file_name) for position, each in enumerate(loaded.documents)]
        known = {each.name for each, _ in found}
        called = {dag_name(step.call) for each in loaded.documents for step in (*each.steps, *each.handlers.values())}
        wanted += sorted(called - known - asked - {""} - set(wanted))
    return found


def _ms(milliseconds: int) -> str:
    return duration(milliseconds / 1000)
