"""``dagway approve`` and ``dagway reject``."""

import click

from services.cli.exit_codes import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_json, echo_table
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, RUN_ID
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import WAITING, name_on_server, run_ids

__all__ = ["approve_command", "reject_command"]

_EXAMPLES = """
dagway approve                                   list what waits for approval
dagway approve deploy check                      approve the step check of the DAG deploy
dagway approve deploy check --input SIZE=large   with the values that it asks for
"""


def _waiting_step(gateway: Gateway, dag: str, step: str, run_id: str) -> str:
    """Return the path of the step that waits. Without ``run_id``, exactly one run of the DAG may wait."""
    name = name_on_server(gateway, dag)
    waiting = [run_id] if run_id else run_ids(gateway, name, WAITING)
    if not waiting:
        raise GatewayError(f"no run of {name} waits for approval")
    if len(waiting) > 1:
        raise GatewayError(f"several runs of {name} wait: choose one by --run-id: {', '.join(waiting)}")
    if not step:
        run = gateway.get(path("dag-runs", name, waiting[0]))["dagRunDetails"]
        steps = [node["step"]["name"] for node in run["nodes"] if node["statusLabel"] == "waiting"]
        if len(steps) != 1:
            raise GatewayError(f"which step? These wait for approval: {', '.join(steps) or 'none'}")
        step = steps[0]
    return path("dag-runs", name, waiting[0], "steps", step)


@click.command("approve", cls=PageCommand, examples=_EXAMPLES)
@click.argument("dag", default="")
@click.argument("step", default="")
@RUN_ID
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="a value that the step asks for")
@QUIET
@JSON_OPTION
@with_gateway
def approve_command(
    gateway: Gateway, *, dag: str, step: str, run_id: str, inputs: tuple[str, ...], quiet: bool, in_json: bool
) -> None:
    """Approve a step that waits for approval.

    Without DAG, list the runs that wait. STEP may be left out if only one step waits.
    """
    if not dag:
        _list_waiting(gateway, in_json=in_json)
        return
    if wrong := next((each for each in inputs if "=" not in each.lstrip("=")), ""):
        raise click.BadParameter(f"{wrong!r} is not NAME=VALUE", param_hint="--input")
    where = _waiting_step(gateway, dag, step, run_id)
    answer = gateway.post(f"{where}/approve", {"inputs": dict(each.split("=", 1) for each in inputs)})
    _confirm(answer, "approved" if answer.get("resumed", True) else "approved; other steps still wait", quiet, in_json)


@click.command("reject", cls=PageCommand, examples="\ndagway reject deploy check --reason 'wrong size'\n")
@click.argument("dag")
@click.argument("step", default="")
@RUN_ID
@click.option("--reason", default="", help="why, for the log")
@QUIET
@JSON_OPTION
@with_gateway
def reject_command(
    gateway: Gateway, *, dag: str, step: str, run_id: str, reason: str, quiet: bool, in_json: bool
) -> None:
    """Reject a step that waits for approval.

    The run ends as `rejected`.
    """
    answer = gateway.post(f"{_waiting_step(gateway, dag, step, run_id)}/reject", {"reason": reason})
    _confirm(answer, "rejected", quiet, in_json)


def _list_waiting(gateway: Gateway, *, in_json: bool) -> None:
    found = gateway.get("/dag-runs", status=WAITING)
    if in_json:
        echo_json(found)
        return
    rows = []
    for each in found["dagRuns"]:
        run = gateway.get(path("dag-runs", each["name"], each["dagRunId"]))["dagRunDetails"]
        rows += [
            (run["name"], run["dagRunId"], node["step"]["name"], short_time(node["startedAt"]))
            for node in run["nodes"]
            if node["statusLabel"] == "waiting"
        ]
    echo_table(("DAG", "RUN", "STEP", "SINCE"), rows, empty="nothing waits for approval")


def _confirm(answer: object, text: str, quiet: bool, in_json: bool) -> None:
    if in_json:
        echo_json(answer)
    elif not quiet:
        click.echo(text)
