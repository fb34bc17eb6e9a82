"""``dagway users``: the users of a server in the auth mode ``builtin``."""

import sys
from typing import Any

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_list
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_server
from services.cli.remote.gateway import Gateway, path
from shared.roles import ROLES

__all__ = ["find_user", "users_command"]

_USER_ROLES = click.Choice([*ROLES, "none"])
"""``none``: only the roles that the user has as a member of workspaces."""
_EXAMPLES = """
dagway users list
dagway users create ann --role operator     asks for the password
dagway users set-role ann admin
"""


@click.group("users", cls=PageGroup, examples=_EXAMPLES)
def users_command() -> None:
    """List and change users.

    Needs the role admin.
    """


def find_user(gateway: Gateway, username: str) -> dict[str, Any]:
    """Return a user by name. Raises ``GatewayError`` if there is none."""
    for user in gateway.get("/users")["users"]:
        if user["username"] == username:
            found: dict[str, Any] = user
            return found
    raise GatewayError(f"there is no user {username!r}; dagway users list shows all")


@users_command.command("list")
@JSON_OPTION
@with_server
def list_users(gateway: Gateway, in_json: bool) -> None:
    """List users."""
    answer = gateway.get("/users")
    rows = ((user["username"], user["role"], short_time(user["createdAt"])) for user in answer["users"])
    echo_list(answer, ("USER", "ROLE", "CREATED"), rows, empty="no users", in_json=in_json)


@users_command.command("create")
@click.argument("username")
@click.option("--role", type=_USER_ROLES, required=True)
@click.option("--password-file", type=click.File(), help="file with the password, - for standard input")
@JSON_OPTION
@with_server
def create_user(gateway: Gateway, *, username: str, role: str, password_file: Any, in_json: bool) -> None:
    """Create a user."""
    answer = gateway.post("/users", {"username": username, "role": role, "password": _password(password_file)})
    _print_user(answer, "created", in_json=in_json)


@users_command.command("set-role")
@click.argument("username")
@click.argument("role", type=_USER_ROLES)
@JSON_OPTION
@with_server
def set_role(gateway: Gateway, *, username: str, role: str, in_json: bool) -> None:
    """Give a user another role."""
    answer = gateway.patch(path("users", find_user(gateway, username)["id"]), {"role": role})
    _print_user(answer, "changed", in_json=in_json)


@users_command.command("reset-password")
@click.argument("username")
@click.option("--password-file", type=click.File(), help="file with the password, - for standard input")
@JSON_OPTION
@with_server
def reset_password(gateway: Gateway, *, username: str, password_file: Any, in_json: bool) -> None:
    """Give a user another password."""
    user = path("users", find_user(gateway, username)["id"])
    answer = gateway.post(f"{user}/reset-password", {"newPassword": _password(password_file)})
    echo_answer(answer, f"{username} has a new password", in_json=in_json)


@users_command.command("delete")
@click.argument("username")
@JSON_OPTION
@with_server
def delete_user(gateway: Gateway, username: str, in_json: bool) -> None:
    """Delete a user."""
    answer = gateway.delete(path("users", find_user(gateway, username)["id"]))
    echo_answer(answer, f"{username} deleted", in_json=in_json)


def _password(file: Any) -> str:
    if file is not None:
        return str(file.read()).removesuffix("\n")
    if not sys.stdin.isatty():
        raise click.UsageError("without a terminal, give the password by --password-file (- for standard input)")
    text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return text


def _print_user(answer: Any, done: str, *, in_json: bool) -> None:
    echo_answer(answer, f"{answer['user']['username']} {done}, role {answer['user']['role']}", in_json=in_json)
