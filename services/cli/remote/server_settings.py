"""``dagway settings``: the settings of a gateway, and where each comes from."""

import click

from services.cli.help_pages import PageCommand
from services.cli.output.terminal import JSON_OPTION, echo_json, echo_table
from services.cli.remote.connecting import with_server
from services.cli.remote.gateway import Gateway

__all__ = ["settings_command"]


@click.command("settings", cls=PageCommand, examples="\ndagway settings\ndagway settings --set\n")
@click.option("--set", "only_set", is_flag=True, help="only settings that differ from their default")
@JSON_OPTION
@with_server
def settings_command(gateway: Gateway, *, only_set: bool, in_json: bool) -> None:
    """Show the settings of a gateway.

    The values of secrets are not shown. Needs the role admin.
    """
    settings = [each for each in gateway.get("/settings")["settings"] if not only_set or each["source"] != "default"]
    if in_json:
        echo_json({"settings": settings})
        return
    rows = [
        (each["variable"], _value(secret=each["secret"], value=each["value"], source=each["source"]), each["setBy"])
        for each in settings
    ]
    echo_table(("SETTING", "VALUE", "SET BY"), rows, empty="no setting is set")


def _value(*, secret: bool, value: str, source: str) -> str:
    if not secret:
        return value
    return "(not set)" if source == "default" else "(set, not shown)"
