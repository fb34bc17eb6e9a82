"""``dagway workspaces``: the workspaces of a server, their quotas and members."""

from typing import Any

import click

from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo, echo_answer, echo_json, echo_list, echo_table
from services.cli.remote.accounts import find_user
from services.cli.remote.connecting import with_server
from services.cli.remote.gateway import Gateway, path
from shared.roles import ROLES

__all__ = ["workspaces_command"]

_EXAMPLES = """
dagway workspaces create acme --max-running 20
dagway workspaces add-member acme ann --role manager
dagway ls --workspace acme
"""
_QUOTAS = (
    ("max_running", "maxRunning"),
    ("max_queued", "maxQueued"),
    ("max_dags", "maxDags"),
    ("max_log_bytes_per_day", "maxLogBytesPerDay"),
)


@click.group("workspaces", cls=PageGroup, examples=_EXAMPLES)
def workspaces_command() -> None:
    """List and change workspaces.

    All but list need the role admin. For other commands, --workspace chooses the workspace.
    """


def _quotas(function: Any) -> Any:
    what = {
        "max_running": "running runs",
        "max_queued": "queued runs",
        "max_dags": "DAGs",
        "max_log_bytes_per_day": "bytes of logs stored in a day (UTC)",
    }
    for name, text in reversed(what.items()):
        option = f"--{name.replace('_', '-')}"
        function = click.option(option, name, type=click.IntRange(min=0), help=f"limit of {text}; 0: no limit")(
            function
        )
    return click.option("--description", help="what the workspace is for")(function)


@workspaces_command.command("list")
@JSON_OPTION
@with_server
def list_workspaces(gateway: Gateway, in_json: bool) -> None:
    """List the workspaces that you may use, and your role in each."""
    answer = gateway.get("/workspaces")
    rows = ((each["name"], each["role"], each["description"]) for each in answer["workspaces"])
    empty = "no workspaces that you may use"
    echo_list(answer, ("WORKSPACE", "ROLE", "DESCRIPTION"), rows, empty=empty, in_json=in_json)


@workspaces_command.command("show")
@click.argument("name")
@JSON_OPTION
@with_server
def show_workspace(gateway: Gateway, name: str, in_json: bool) -> None:
    """Show the quotas of a workspace, how much of each is used, and its members."""
    answer = gateway.get(path("workspaces", name))
    if in_json:
        echo_json(answer)
        return
    # ``logBytesToday`` is absent without a quota: bytes of logs are counted only with one.
    used = {**answer["used"], "logBytesToday": answer["workspace"].get("logBytesToday")}
    for (_, field), counted in zip(_QUOTAS, ("running", "queued", "dags", "logBytesToday"), strict=True):
        count = "" if used[counted] is None else f" ({used[counted]} used)"
        echo(f"{field}: {answer['workspace'].get(field) or 'no limit'}{count}")
    rows = [(each["username"], each["role"]) for each in answer["members"]]
    echo_table(("MEMBER", "ROLE"), rows, empty="no members")


@workspaces_command.command("create")
@click.argument("name")
@_quotas
@JSON_OPTION
@with_server
def create_workspace(gateway: Gateway, *, name: str, in_json: bool, **given: Any) -> None:
    """Create a workspace."""
    answer = gateway.post("/workspaces", {"name": name, **_body(given)})
    echo_answer(answer, f"{name} created", in_json=in_json)


@workspaces_command.command("set")
@click.argument("name")
@_quotas
@JSON_OPTION
@with_server
def change_workspace(gateway: Gateway, *, name: str, in_json: bool, **given: Any) -> None:
    """Change the description or the quotas of a workspace."""
    answer = gateway.patch(path("workspaces", name), _body(given))
    echo_answer(answer, f"{name} changed", in_json=in_json)


@workspaces_command.command("delete")
@click.argument("name")
@JSON_OPTION
@with_server
def delete_workspace(gateway: Gateway, name: str, in_json: bool) -> None:
    """Delete an empty workspace."""
    echo_answer(gateway.delete(path("workspaces", name)), f"{name} deleted", in_json=in_json)


@workspaces_command.command("add-member")
@click.argument("name")
@click.argument("username")
@click.option("--role", type=click.Choice(ROLES), required=True, help="role in the workspace")
@JSON_OPTION
@with_server
def add_member(gateway: Gateway, *, name: str, username: str, role: str, in_json: bool) -> None:
    """Make a user a member of a workspace, or give a member another role."""
    answer = gateway.put(_member(gateway, name, username), {"role": role})
    echo_answer(answer, f"{username} is a member of {name}, role {role}", in_json=in_json)


@workspaces_command.command("remove-member")
@click.argument("name")
@click.argument("username")
@JSON_OPTION
@with_server
def remove_member(gateway: Gateway, *, name: str, username: str, in_json: bool) -> None:
    """End the membership of a user."""
    answer = gateway.delete(_member(gateway, name, username))
    echo_answer(answer, f"{username} is no longer a member of {name}", in_json=in_json)


def _member(gateway: Gateway, name: str, username: str) -> str:
    return path("workspaces", name, "members", find_user(gateway, username)["id"])


def _body(given: dict[str, Any]) -> dict[str, Any]:
    fields = {"description": given["description"], **{field: given[name] for name, field in _QUOTAS}}
    return {name: value for name, value in fields.items() if value is not None}
