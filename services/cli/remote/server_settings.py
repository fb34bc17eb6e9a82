"""``dagway settings``: the settings of a gateway, and where each comes from."""

from collections.abc import Mapping
from typing import Any

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo, echo_json, echo_list, echo_table
from services.cli.remote.connecting import with_server
from services.cli.remote.gateway import Gateway

__all__ = ["settings_command"]


@click.command(
    "settings", cls=PageCommand, examples="\ndagway settings\ndagway settings --set\ndagway settings --of workers\n"
)
@click.option(
    "--of",
    "kind",
    type=click.Choice(["gateway", "schedulers", "workers"]),
    default="gateway",
    show_default=True,
    help="whose settings; for schedulers and workers only those that are set, the ones that differ first",
)
@click.option("--set", "only_set", is_flag=True, help="only settings that differ from their default")
@JSON_OPTION
@with_server
def settings_command(gateway: Gateway, *, kind: str, only_set: bool, in_json: bool) -> None:
    """Show the settings of a gateway, or those of all schedulers or workers.

    The values of secrets are not shown. Needs the role admin.
    """
    if kind != "gateway":
        _show_reported(gateway.get(f"/settings/{kind}"), in_json=in_json)
        return
    settings = [each for each in gateway.get("/settings")["settings"] if not only_set or each["source"] != "default"]
    rows = (
        (each["variable"], _value(secret=each["secret"], value=each["value"], source=each["source"]), each["setBy"])
        for each in settings
    )
    head = ("SETTING", "VALUE", "SET BY")
    echo_list({"settings": settings}, head, rows, empty="no setting is set", in_json=in_json)


def _show_reported(answer: Mapping[str, Any], *, in_json: bool) -> None:
    if in_json:
        echo_json(answer)
        return
    rows = [
        (
            each["variable"],
            _value(secret=each["secret"], value=one["value"], source=one["setBy"] or "default"),
            "all" if len(each["values"]) == 1 else f"{one['count']}: {', '.join(one['processes'])}",
        )
        for each in answer["settings"]
        for one in each["values"]
    ]
    echo_table(("SETTING", "VALUE", "OF"), rows, empty="no setting is set")
    if answer["silent"]:
        echo(f"of an earlier version, which does not report settings: {', '.join(answer['silent'])}")


def _value(*, secret: bool, value: str, source: str) -> str:
    if not secret:
        return value
    return "(not set)" if source == "default" else "(set, not shown)"
