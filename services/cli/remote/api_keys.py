"""``dagway keys``: the API keys of a server in the auth mode ``builtin``."""

import re
from datetime import UTC, datetime, timedelta

import click

from services.cli.errors import GatewayError
from services.cli.help_pages import PageGroup
from services.cli.output.terminal import JSON_OPTION, echo, echo_answer, echo_json, echo_list, say
from services.cli.output.times import short_time
from services.cli.remote.connecting import with_gateway
from services.cli.remote.gateway import Gateway, path
from shared.roles import ROLES

__all__ = ["keys_command"]

_EXAMPLES = """
dagway keys create ci --role operator --dag 'etl-*' --expires 90d
dagway keys list
dagway keys delete ci
"""


@click.group("keys", cls=PageGroup, examples=_EXAMPLES)
def keys_command() -> None:
    """List, create and delete API keys.

    Needs the role admin. A program sends a key as its token, see --token.
    """


@keys_command.command("list")
@JSON_OPTION
@with_gateway
def list_keys(gateway: Gateway, in_json: bool) -> None:
    """List API keys."""
    answer = gateway.get("/api-keys")
    rows = (
        (
            key["name"],
            key["role"],
            f"{key['keyPrefix']}…",
            short_time(key["createdAt"]),
            short_time(key["lastUsedAt"] or ""),
            short_time(key.get("expiresAt") or ""),
            " ".join(key.get("dags") or ["all"]),
        )
        for key in answer["apiKeys"]
    )
    head = ("KEY", "ROLE", "BEGINS WITH", "CREATED", "LAST USED", "EXPIRES", "DAGS")
    echo_list(answer, head, rows, empty="no API keys", in_json=in_json)


@keys_command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--description", default="", help="what the key is for")
@click.option(
    "--expires", default="", help="number of days, such as 90d, or a time, such as 2027-01-31T00:00:00Z  [never]"
)
@click.option("--dag", "dags", multiple=True, help="pattern of the DAGs that it may use; can be repeated  [all DAGs]")
@JSON_OPTION
@with_gateway
def create_key(
    gateway: Gateway, *, name: str, role: str, description: str, expires: str, dags: tuple[str, ...], in_json: bool
) -> None:
    """Create an API key and print it: it is not shown again."""
    limits = {"expiresAt": _expiry(expires), "dags": list(dags)}
    answer = gateway.post("/api-keys", {"name": name, "role": role, "description": description, **limits})
    if in_json:
        echo_json(answer)
    else:
        echo(answer["key"])
        say("keep the key: it is not shown again")


def _expiry(text: str) -> str:
    """Return the time after a number of days; other texts are for the gateway to judge."""
    days = re.fullmatch(r"(\d{1,5})d", text)
    return text if days is None else (datetime.now(UTC) + timedelta(days=int(days[1]))).isoformat(timespec="seconds")


@keys_command.command("delete")
@click.argument("name")
@JSON_OPTION
@with_gateway
def delete_key(gateway: Gateway, name: str, in_json: bool) -> None:
    """Delete an API key, by its name or id. Programs that use it are refused from now on."""
    found = [key for key in gateway.get("/api-keys")["apiKeys"] if name in (key["name"], key["id"])]
    if not found:
        raise GatewayError(f"there is no API key {name!r}; dagway keys list shows all")
    answer = gateway.delete(path("api-keys", found[0]["id"]))
    echo_answer(answer, f"{name} deleted", in_json=in_json)
