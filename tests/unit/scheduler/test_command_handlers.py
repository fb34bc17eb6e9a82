"""Every command has one handler."""

import importlib
import pkgutil
from typing import get_type_hints

import pytest

from services.scheduler import commands
from services.scheduler.commands.carry_out import HANDLERS
from shared.contracts import commands as c
from shared.contracts.base import MESSAGE_TYPES

COMMANDS = {cls for cls in MESSAGE_TYPES.values() if issubclass(cls, c.Command)}


def test_every_command_has_a_handler_and_every_handler_a_command() -> None:
    assert set(HANDLERS) == COMMANDS


def test_no_command_is_handled_in_two_modules() -> None:
    handled = [
        command
        for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}.")
        if not module.name.endswith(".carry_out")
        for command in getattr(importlib.import_module(module.name), "HANDLERS", ())
    ]

    assert sorted(map(str, handled)) == sorted(map(str, HANDLERS))


@pytest.mark.parametrize("command", HANDLERS, ids=lambda command: command.type)
def test_a_handler_takes_the_command_it_is_registered_for(command: type[c.Command]) -> None:
    assert issubclass(command, get_type_hints(HANDLERS[command])["command"])
