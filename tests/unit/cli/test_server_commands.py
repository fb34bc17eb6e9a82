"""Commands about the whole server name no workspace, so a profile with one can be used for them too."""

import click
import pytest

from services.cli.remote.server_settings import settings_command
from services.cli.remote.workers import workers_command

COMMANDS = [settings_command, *(workers_command.commands[name] for name in ("drain", "resume"))]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_about_the_server_takes_no_workspace(command: click.Command) -> None:
    names = {each.name for each in command.params}
    assert "profile" in names
    assert "workspace" not in names
