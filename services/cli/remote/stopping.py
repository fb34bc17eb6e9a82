"""``dagway stop`` and ``dagway dequeue``."""

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo, echo_answer, echo_json, say
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import PARAMS_OPTION, QUIET, RUN_ID, dagu_flags
from services.cli.remote.following import details, follow_run
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import (
    DAG_ARGUMENT,
    QUEUED,
    RUN_ARGUMENT,
    RUNNING,
    WAITING,
    name_on_server,
    require_dag,
    run_ids,
)

__all__ = ["dequeue_command", "stop_command", "stop_run"]

_STOP_EXAMPLES = """
dagway stop report                   stop all running runs of the DAG
dagway stop --run-id=abc123 report   stop one run
"""
_DEQUEUE_EXAMPLES = """
dagway dequeue heavy                             remove the first run of the queue
dagway dequeue heavy --dag-run=report:abc123     remove this run
"""


def stop_run(gateway: Gateway, name: str, run_id: str) -> str:
    """Stop a run, and return the status with which it has ended. A run that has ended is not an error."""
    return _ask(gateway, name, run_id) or _end_of(gateway, name, run_id)


def _ask(gateway: Gateway, name: str, run_id: str) -> str:
    """Ask a run to stop. Return its status if it has ended already.

    A run that is queued or waits for approval cannot be stopped: ``GatewayError`` says so.
    """
    try:
        gateway.post(f"{path('dag-runs', name, run_id)}/stop")
    except GatewayError as error:
        status = str(details(gateway, name, run_id)["statusLabel"]) if error.error_code == "not_running" else ""
        if status == "queued":
            advice = f"remove it with: dagway dequeue {name} --dag-run {name}:{run_id}"
            raise GatewayError(f"{error}; {advice}", status=error.status, error_code=error.error_code) from error
        if status in {"", "not_started", "running", "waiting"}:
            raise
        return status
    return ""


def _end_of(gateway: Gateway, name: str, run_id: str) -> str:
    *_, last = follow_run(gateway, name, run_id)
    return str(last["statusLabel"])


@click.command("stop", cls=PageCommand, examples=_STOP_EXAMPLES)
@DAG_ARGUMENT
@RUN_ARGUMENT
@RUN_ID
@click.option("--no-wait", is_flag=True, help="do not wait until the run has ended")
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def stop_command(
    gateway: Gateway, *, dag: str, run: str, run_id: str, no_wait: bool, quiet: bool, in_json: bool
) -> None:
    """Stop a running run.

    Without RUN, stop all running runs of the DAG. Waits until they have ended: a step with a
    `repeatPolicy` may finish its execution, and handlers clean up. A second stop ends such a step too.
    Exits with 0 even if nothing runs, but with 1 if there is no such DAG, or if RUN is queued or waits for approval:
    use `dagway dequeue` or `dagway reject` then.
    """
    name = name_on_server(gateway, dag)
    one = run or run_id
    chosen = [one] if one else run_ids(gateway, name, RUNNING, WAITING)
    if not chosen:
        require_dag(gateway, dag)
    # All are asked before the first is waited for: its handlers may take long.
    asked = {
        each: status for each in chosen if (status := _ask_one_of(gateway, name, each, alone=bool(one))) is not None
    }
    stopped = {each: status or ("" if no_wait else _end_of(gateway, name, each)) for each, status in asked.items()}
    if in_json:
        echo_json({"stopped": [{"name": name, "dagRunId": each, "statusLabel": stopped[each]} for each in stopped]})
    elif not quiet:
        for each, status in stopped.items():
            echo(f"{name}/{each} {status or 'stops'}")
        if not stopped:
            say(f"no run of {name} is running")


def _ask_one_of(gateway: Gateway, name: str, run_id: str, *, alone: bool) -> str | None:
    """Ask a run to stop, see ``_ask``. Only if it is not ``alone``, a refusal is a remark, and the answer ``None``."""
    try:
        return _ask(gateway, name, run_id)
    except GatewayError as error:
        if alone or error.error_code != "not_running":
            raise
        say(f"not stopped: {error}")
        return None


@click.command("dequeue", cls=PageCommand, examples=_DEQUEUE_EXAMPLES)
@click.argument("queue")
@click.option("-d", "--dag-run", default="", metavar="DAG:RUN", help="the run to remove, instead of the first")
@PARAMS_OPTION
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def dequeue_command(
    gateway: Gateway, *, queue: str, dag_run: str, params_option: str, quiet: bool, in_json: bool
) -> None:
    """Remove a run from its queue.

    QUEUE is the name of a queue: a DAG without `queue` has one of its own name. A run that has never started is
    deleted.
    """
    del params_option  # Dagu has the option here too, without an effect
    name, _, run_id = dag_run.partition(":")
    if dag_run and not run_id:
        raise click.BadParameter(f"{dag_run!r} is not DAG:RUN", param_hint="--dag-run")
    if not dag_run:
        name, run_id = _first_in(gateway, queue)
    gateway.post(f"{path('dag-runs', name, run_id)}/dequeue")
    text = f"{name}/{run_id} removed from the queue"
    echo_answer({"name": name, "dagRunId": run_id}, text, in_json=in_json, quiet=quiet)


def _first_in(gateway: Gateway, queue: str) -> tuple[str, str]:
    for each in gateway.get("/queues")["queues"]:
        if each["name"] == queue and each["queued"]:
            first = each["queued"][0]
            return first["name"], first["dagRunId"]
    waiting = run_ids(gateway, queue, QUEUED)
    if not waiting:
        raise GatewayError(f"the queue {queue!r} is empty")
    return queue, waiting[-1]
