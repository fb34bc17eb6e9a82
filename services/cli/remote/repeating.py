"""``dagway retry`` and ``dagway restart``."""

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION
from services.cli.remote.connecting import with_gateway
from services.cli.remote.dagu_flags import QUIET, RUN_ID, dagu_flags
from services.cli.remote.following import ACTIVE, details, end_with_result, last_event, print_id, wait_for_end
from services.cli.remote.gateway import Gateway, path
from services.cli.remote.names import DAG_ARGUMENT, RUN_ARGUMENT, RUNNING, WAITING, name_on_server, run_ids
from services.cli.remote.stopping import stop_run

__all__ = ["restart_command", "retry_command"]

_RETRY_EXAMPLES = """
dagway retry --run-id=abc123 report                the steps that did not succeed
dagway retry --run-id=abc123 --step load report    one step
dagway retry report latest                         the newest run
"""
_RESTART_EXAMPLES = """
dagway restart --run-id=abc123 report
"""
_DETACH = click.option("-d", "--detach", is_flag=True, help="do not wait for the end; print the id of the run")


@click.command("retry", cls=PageCommand, examples=_RETRY_EXAMPLES)
@DAG_ARGUMENT
@RUN_ARGUMENT
@RUN_ID
@click.option("--step", default="", help="retry this step only")
@_DETACH
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def retry_command(
    gateway: Gateway, *, dag: str, run: str, run_id: str, step: str, detach: bool, quiet: bool, in_json: bool
) -> None:
    """Retry the steps of a run that did not succeed.

    It is the same run again. Steps that succeeded keep their outputs. RUN is an id, or "latest"; like Dagu, the
    command does not guess which run to retry.
    """
    chosen = run or run_id
    if not chosen:
        raise click.UsageError("which run? Give its id by --run-id, or latest")
    name = name_on_server(gateway, dag)
    found = details(gateway, name, chosen)
    chosen = found["dagRunId"]
    # The events so far are not news. Those of a run that goes on have no end; the gateway refuses to retry it.
    silent = detach or quiet or in_json or found["statusLabel"] in ACTIVE
    before = "" if silent else last_event(gateway, name, chosen)
    gateway.post(f"{path('dag-runs', name, chosen)}/retry", {"stepName": step} if step else {})
    _finish(gateway, name, chosen, last_id=before, detach=detach, quiet=quiet, in_json=in_json)


@click.command("restart", cls=PageCommand, examples=_RESTART_EXAMPLES)
@DAG_ARGUMENT
@RUN_ARGUMENT
@RUN_ID
@_DETACH
@QUIET
@JSON_OPTION
@dagu_flags
@with_gateway
def restart_command(
    gateway: Gateway, *, dag: str, run: str, run_id: str, detach: bool, quiet: bool, in_json: bool
) -> None:
    """Stop a running run and start it again.

    The new run has the same spec and parameters, and a new id. Without RUN, the newest running run of the DAG.
    """
    name = name_on_server(gateway, dag)
    running = run_ids(gateway, name, RUNNING, WAITING)
    chosen = run or run_id or (running[0] if running else "")
    if chosen not in running:
        raise GatewayError(f"no run of {name} is running" if not chosen else f"{name}/{chosen} is not running")
    stop_run(gateway, name, chosen)
    answer = gateway.post(f"{path('dag-runs', name, chosen)}/reschedule", {})
    _finish(gateway, name, answer["dagRunId"], detach=detach, quiet=quiet, in_json=in_json)


def _finish(
    gateway: Gateway, name: str, run_id: str, *, last_id: str = "", detach: bool, quiet: bool, in_json: bool
) -> None:
    if detach:
        print_id({"dagRunId": run_id}, name, quiet=quiet, in_json=in_json)
        return
    run = wait_for_end(gateway, name, run_id, quiet=quiet or in_json, last_id=last_id)
    end_with_result(gateway, run, quiet=quiet, in_json=in_json)
