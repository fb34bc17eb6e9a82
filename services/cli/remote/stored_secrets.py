"""``dagway secrets``: the secrets that a server stores."""

import sys

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo_answer, echo_list
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.gateway import Gateway, path

__all__ = ["secrets_command"]

_EXAMPLES = """
dagway secrets set db-password < password.txt
dagway secrets set deploy-token --dag 'deploy-*'
dagway secrets list
dagway secrets delete db-password
"""


@click.group("secrets", cls=PageGroup, examples=_EXAMPLES)
def secrets_command() -> None:
    """List, set, delete and rotate stored secrets.

    Needs the role manager. Values can be set and not shown. A workflow uses one with provider: stored.
    """


@secrets_command.command("list")
@JSON_OPTION
@with_gateway
def list_secrets(gateway: Gateway, in_json: bool) -> None:
    """List stored secrets, without their values."""
    answer = gateway.get("/secrets")
    rows = (
        (
            each["name"],
            str(each["version"]),
            each["keyId"],
            short_time(each["updatedAt"]),
            each["updatedBy"],
            " ".join(each["dags"] or ["all"]),
        )
        for each in answer["secrets"]
    )
    head = ("SECRET", "VERSION", "KEY", "CHANGED", "BY", "DAGS")
    echo_list(answer, head, rows, empty="no stored secrets", in_json=in_json)


@secrets_command.command("set")
@click.argument("name")
@click.option("--dag", "dags", multiple=True, help="pattern of the DAG files that may use it; can be repeated  [all]")
@JSON_OPTION
@with_gateway
def set_secret(gateway: Gateway, *, name: str, dags: tuple[str, ...], in_json: bool) -> None:
    """Store a secret, or replace it. The value is read from standard input, or asked for.

    A newline at its end is left out. No option takes the value, because every user of this machine can see the options
    of a command.
    """
    text: str = click.prompt("Value", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise GatewayError("the value is empty")
    answer = gateway.put(path("secrets", name), {"value": value, "dags": list(dags)})
    echo_answer(answer, f"{name} set (version {answer['version']})", in_json=in_json)


@secrets_command.command("delete")
@click.argument("name")
@JSON_OPTION
@with_gateway
def delete_secret(gateway: Gateway, name: str, in_json: bool) -> None:
    """Delete a stored secret. Steps that need it fail from now on."""
    answer = gateway.delete(path("secrets", name))
    echo_answer(answer, f"{name} deleted", in_json=in_json)


@secrets_command.command("rotate")
@JSON_OPTION
@with_gateway
def rotate_secrets(gateway: Gateway, in_json: bool) -> None:
    """Seal all values with the first key of the server, after a new key was put there."""
    done = 0
    while True:
        answer = gateway.post("/secrets/rotate")
        done += answer["rotated"]
        if not answer["remaining"]:
            break
    echo_answer({"rotated": done}, f"{done} secrets sealed anew", in_json=in_json)
