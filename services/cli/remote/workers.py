"""``dagway workers``: what each worker runs, and which take new runs."""

import click
from click.core import ParameterSource

from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_json, echo_table, say, status_text
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway, with_server
from services.cli.remote.gateway import Gateway, path

__all__ = ["workers_command"]

_EXAMPLES = """
dagway workers
dagway workers drain default-w1 --reason "new disk"     no new runs; those that it works on go on
dagway workers resume default-w1
"""
_ID = click.argument("worker_id", metavar="ID")


@click.group("workers", cls=PageGroup, examples=_EXAMPLES, invoke_without_command=True)
@JSON_OPTION
@with_gateway
def workers_command(gateway: Gateway, *, in_json: bool) -> None:
    """List workers and what they run."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        _list_workers(gateway, in_json=in_json)
    elif any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in context.params):
        raise click.UsageError(f"give options after the command: dagway workers {context.invoked_subcommand}")


def _list_workers(gateway: Gateway, *, in_json: bool) -> None:
    answer = gateway.get("/workers")
    if in_json:
        echo_json(answer)
        return
    rows = [
        (
            worker["id"],
            status_text(worker["state"]),
            f"{worker['busyPollers']}/{worker['totalPollers']}",
            ",".join(f"{name}={value}" for name, value in sorted(worker["labels"].items())),
            short_time(worker["lastHeartbeatAt"]),
            ", ".join(sorted({task["dagName"] for task in worker["runningTasks"]})),
            _drained(worker.get("drain")),
        )
        for worker in answer["workers"]
    ]
    heads = ("WORKER", "STATE", "SLOTS", "LABELS", "HEARTBEAT", "RUNS", "DRAINED BY")
    echo_table(heads, rows, empty="no workers")
    for error in answer["errors"]:
        say(error)


def _drained(drain: dict[str, str] | None) -> str:
    if drain is None:
        return ""
    return f"{drain['by']} {short_time(drain['at'])}" + (f": {drain['reason']}" if drain["reason"] else "")


@workers_command.command("drain")
@_ID
@click.option("--reason", default="", help="why: everyone who sees the worker sees it")
@JSON_OPTION
@with_server
def drain_worker(gateway: Gateway, *, worker_id: str, reason: str, in_json: bool) -> None:
    """Give a worker no new runs, until it is resumed.

    It goes on with the runs that it works on, whose later steps need its files. Needs the role manager.
    """
    answer = gateway.post(f"{path('workers', worker_id)}/drain", {"reason": reason})
    echo_answer(answer, f"worker {worker_id} takes no new runs", in_json=in_json)


@workers_command.command("resume")
@_ID
@JSON_OPTION
@with_server
def resume_worker(gateway: Gateway, *, worker_id: str, in_json: bool) -> None:
    """Give a drained worker new runs again.

    Needs the role manager.
    """
    answer = gateway.post(f"{path('workers', worker_id)}/resume")
    echo_answer(answer, f"worker {worker_id} takes new runs", in_json=in_json)
