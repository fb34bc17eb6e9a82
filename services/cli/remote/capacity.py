"""``dagway queues`` and ``pools``: how much may run at once, and what does."""

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_list, status_text
from services.cli.remote.connecting import with_gateway
from services.cli.remote.gateway import Gateway

__all__ = ["pools_command", "queues_command"]


@click.command("queues", cls=PageCommand, examples="\ndagway queues\ndagway queues --runs\n")
@click.option("--runs", is_flag=True, help="list the runs of the queues, and what the queued ones wait for")
@JSON_OPTION
@with_gateway
def queues_command(gateway: Gateway, *, runs: bool, in_json: bool) -> None:
    """List queues and their runs."""
    answer = gateway.get("/queues")
    queues = answer["queues"]
    if runs:
        rows = (
            (queue["name"], run["name"], run["dagRunId"], status_text(run["statusLabel"]), run.get("waitingFor", ""))
            for queue in queues
            for run in [*queue["running"], *queue["queued"]]
        )
        head = ("QUEUE", "DAG", "RUN", "STATUS", "WAITS FOR")
        echo_list(answer, head, rows, empty="no run is running or queued", in_json=in_json)
        return
    rows_of_queues = (
        (
            queue["name"],
            queue["type"],
            str(queue.get("maxConcurrency", 1)),
            str(queue["summary"]["running"]),
            str(queue["summary"]["queued"]),
        )
        for queue in queues
    )
    head_of_queues = ("QUEUE", "TYPE", "LIMIT", "RUNNING", "QUEUED")
    echo_list(answer, head_of_queues, rows_of_queues, empty="no queues", in_json=in_json)


@click.command("pools")
@JSON_OPTION
@with_gateway
def pools_command(gateway: Gateway, *, in_json: bool) -> None:
    """List pools, locks and rate limits.

    Each with its users and what waits for it.
    """
    answer = gateway.get("/pools")
    rows = (
        (
            pool["name"],
            pool["kind"],
            f"{pool.get('capacity', 0)}" + (f" per {pool['intervalSec']:g}s" if pool.get("intervalSec") else ""),
            str(pool["taken"]),
            str(pool["waiting"]),
            ", ".join(f"{user['name']}/{user['dagRunId']} {user['step']}" for user in pool["users"][:3]),
        )
        for pool in answer["pools"]
    )
    head = ("POOL", "KIND", "CAPACITY", "TAKEN", "WAITING", "USERS")
    echo_list(answer, head, rows, empty="no pools", in_json=in_json)
