"""``dagway approve`` and ``dagway reject``."""

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_json, echo_table
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, RUN_ID
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import WAITING, name_on_server, run_ids
from services.cli.remote.waiting_steps import waiting_steps

__all__ = ["approve_command", "reject_command"]

_EXAMPLES = """
dagway approve                                   list what waits for approval
dagway approve deploy check                      approve the step check of the DAG deploy
dagway approve deploy check --input SIZE=large   with the values that it asks for
"""


_SUB_RUN = click.option("--sub-run-id", default="", help="id of the sub-run that the step is in")


def _waiting_step(gateway: Gateway, dag: str, step: str, run_id: str, sub_run_id: str) -> str:
    """Return the path of the step that waits. Without ``run_id``, steps of exactly one run of the DAG may wait.

    The step may be in a sub-run. A step of the run itself goes before one of the same name in a sub-run.
    """
    name = name_on_server(gateway, dag)
    steps = waiting_steps(gateway, name)
    # The list ends at a number of steps, so it may lack an old run.
    known = [*run_ids(gateway, name, WAITING), *(each.run_id for each in steps)]
    waiting = [run_id] if run_id else list(dict.fromkeys(known))
    if not waiting:
        raise GatewayError(f"no run of {name} waits for approval")
    if len(waiting) > 1:
        raise GatewayError(f"several runs of {name} wait: choose one by --run-id: {', '.join(waiting)}")
    if not (step and sub_run_id):
        found = [each for each in steps if each.run_id == waiting[0] and sub_run_id in ("", each.sub_run_id)]
        named = [each for each in found if each.step == step]
        own = [each for each in named if not each.sub_run_id]
        fit = own or named if step else found
        if len(fit) > 1 or not (step or fit):
            raise GatewayError(f"which step? These wait for approval: {', '.join(map(str, fit)) or 'none'}")
        # A step that is not in the list is sent as it was named: the server says what is wrong with it.
        step, sub_run_id = (fit[0].step, fit[0].sub_run_id) if fit else (step, sub_run_id)
    within = ("sub-dag-runs", sub_run_id) if sub_run_id else ()
    return path("dag-runs", name, waiting[0], *within, "steps", step)


@click.command("approve", cls=PageCommand, examples=_EXAMPLES)
@click.argument("dag", default="")
@click.argument("step", default="")
@RUN_ID
@_SUB_RUN
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="a value that the step asks for")
@QUIET
@JSON_OPTION
@with_gateway
def approve_command(
    gateway: Gateway,
    *,
    dag: str,
    step: str,
    run_id: str,
    sub_run_id: str,
    inputs: tuple[str, ...],
    quiet: bool,
    in_json: bool,
) -> None:
    """Approve a step that waits for approval.

    Without DAG, list the steps that wait. DAG is that of the root run, even if the step is in a sub-run. STEP may be
    left out if only one step waits.
    """
    if not dag:
        _list_waiting(gateway, in_json=in_json)
        return
    if wrong := next((each for each in inputs if "=" not in each.lstrip("=")), ""):
        raise click.BadParameter(f"{wrong!r} is not NAME=VALUE", param_hint="--input")
    where = _waiting_step(gateway, dag, step, run_id, sub_run_id)
    answer = gateway.post(f"{where}/approve", {"inputs": dict(each.split("=", 1) for each in inputs)})
    text = "approved" if answer.get("resumed", True) else "approved; other steps still wait"
    echo_answer(answer, text, quiet=quiet, in_json=in_json)


@click.command("reject", cls=PageCommand, examples="\ndagway reject deploy check --reason 'wrong size'\n")
@click.argument("dag")
@click.argument("step", default="")
@RUN_ID
@_SUB_RUN
@click.option("--reason", default="", help="why, for the log")
@QUIET
@JSON_OPTION
@with_gateway
def reject_command(
    gateway: Gateway, *, dag: str, step: str, run_id: str, sub_run_id: str, reason: str, quiet: bool, in_json: bool
) -> None:
    """Reject a step that waits for approval.

    The run ends as `rejected`.
    """
    answer = gateway.post(f"{_waiting_step(gateway, dag, step, run_id, sub_run_id)}/reject", {"reason": reason})
    echo_answer(answer, "rejected", quiet=quiet, in_json=in_json)


def _list_waiting(gateway: Gateway, *, in_json: bool) -> None:
    found = gateway.get("/approvals")
    if in_json:
        echo_json(found)
        return
    head = ["DAG", "RUN", "STEP", "SINCE"]
    rows = [
        [each["name"], each["dagRunId"], each["stepName"], short_time(each["since"])] for each in found["approvals"]
    ]
    if any("subDAGRunId" in each for each in found["approvals"]):
        head.append("SUB-RUN")
        for row, each in zip(rows, found["approvals"], strict=True):
            row.append(f"{each['subDAGRunId']} of {each['dagName']}" if "subDAGRunId" in each else "-")
    if any("params" in each for each in found["approvals"]):
        head.append("PARAMS")
        for row, each in zip(rows, found["approvals"], strict=True):
            row.append(each.get("params", "-"))
    echo_table(head, rows, empty="nothing waits for approval")
