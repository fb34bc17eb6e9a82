"""Every command has one handler."""

from types import ModuleType
from typing import get_type_hints

import pytest

from services.scheduler.commands import (
    accounts,
    approvals,
    dags,
    dead_letters,
    pauses,
    pools,
    queues,
    runs,
    secrets,
    webhooks,
    worker_pools,
    workers,
    workspaces,
)
from services.scheduler.commands.carry_out import HANDLERS
from shared.contracts import commands as c
from shared.contracts.base import MESSAGE_TYPES

COMMANDS = {cls for cls in MESSAGE_TYPES.values() if issubclass(cls, c.Command)}


def test_every_command_has_a_handler_and_every_handler_a_command() -> None:
    assert set(HANDLERS) == COMMANDS


def test_no_command_is_handled_in_two_modules() -> None:
    modules: list[ModuleType] = [
        accounts,
        approvals,
        dags,
        dead_letters,
        pauses,
        pools,
        queues,
        runs,
        secrets,
        webhooks,
        worker_pools,
        workers,
        workspaces,
    ]

    assert sum(len(module.HANDLERS) for module in modules) == len(HANDLERS)


@pytest.mark.parametrize("command", HANDLERS, ids=lambda command: command.type)
def test_a_handler_takes_the_command_it_is_registered_for(command: type[c.Command]) -> None:
    assert issubclass(command, get_type_hints(HANDLERS[command])["command"])
