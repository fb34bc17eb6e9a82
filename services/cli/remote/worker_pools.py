"""``dagway worker-pools``: worker pools that serve only some workspaces."""

import click

from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_list
from services.cli.remote.connecting import with_server
from services.cli.remote.gateway import Gateway, path

__all__ = ["worker_pools_command"]

_EXAMPLES = """
dagway worker-pools reserve gpu acme beta
dagway worker-pools reserve default default     the default pool serves the default workspace only
dagway worker-pools release gpu
"""


@click.group("worker-pools", cls=PageGroup, examples=_EXAMPLES)
def worker_pools_command() -> None:
    """Reserve worker pools for workspaces.

    Needs the role admin.
    """


@worker_pools_command.command("list")
@JSON_OPTION
@with_server
def list_worker_pools(gateway: Gateway, in_json: bool) -> None:
    """List the worker pools that are reserved for some workspaces."""
    answer = gateway.get("/worker-pools")
    rows = ((each["name"], ", ".join(each["workspaces"])) for each in answer["workerPools"])
    empty = "every worker pool serves all workspaces"
    echo_list(answer, ("WORKER POOL", "SERVES"), rows, empty=empty, in_json=in_json)


@worker_pools_command.command("reserve")
@click.argument("name")
@click.argument("workspaces", nargs=-1, required=True)
@JSON_OPTION
@with_server
def reserve_worker_pool(gateway: Gateway, *, name: str, workspaces: tuple[str, ...], in_json: bool) -> None:
    """Let a worker pool serve these workspaces only."""
    answer = gateway.put(path("worker-pools", name), {"workspaces": list(workspaces)})
    echo_answer(answer, f"worker pool {name} serves {', '.join(answer['workspaces'])} only", in_json=in_json)


@worker_pools_command.command("release")
@click.argument("name")
@JSON_OPTION
@with_server
def release_worker_pool(gateway: Gateway, name: str, in_json: bool) -> None:
    """End the reservation of a worker pool: it serves all workspaces again."""
    answer = gateway.delete(path("worker-pools", name))
    echo_answer(answer, f"worker pool {name} serves all workspaces", in_json=in_json)
