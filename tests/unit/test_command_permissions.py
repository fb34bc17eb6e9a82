"""Who may send which command."""

from typing import Any

import pytest

from shared.contracts import commands as c
from shared.contracts.actors import SYSTEM, Actor
from shared.contracts.base import MESSAGE_TYPES
from shared.contracts.commands.permissions import MINIMUM_ROLE, SYSTEM_ONLY, why_forbidden
from shared.roles import RANK

START = c.StartRun(file_name="d", dag_run_id="r")
QUEUE = c.EnqueueRun(file_name="d", dag_run_id="r")
TOUCH = c.TouchCredential(kind="api_key", id="k")


def user(role: str, user_id: str = "u") -> Actor:
    return Actor(kind="user", id=user_id, name="ann", role=role)


def hook(name: str = "webhook:d", role: str = "operator") -> Actor:
    return Actor(kind="webhook", id="h", name=name, role=role)


def test_every_command_has_a_minimum_role_or_is_the_systems() -> None:
    commands = {cls for cls in MESSAGE_TYPES.values() if issubclass(cls, c.Command)}

    assert MINIMUM_ROLE.keys() | SYSTEM_ONLY == commands
    assert not MINIMUM_ROLE.keys() & SYSTEM_ONLY


@pytest.mark.parametrize("command", MINIMUM_ROLE, ids=lambda command: command.type)
def test_a_command_needs_its_role_or_a_higher_one(command: type[c.Command]) -> None:
    fields: dict[str, Any] = {"user_id": "somebody else"}
    body = command.model_construct(**fields)

    allowed = {role for role in (*RANK, "", "king") if not why_forbidden(user(role), body)}

    assert allowed == {role for role in RANK if RANK[role] >= RANK[MINIMUM_ROLE[command]]}


def test_users_change_their_own_passwords_only() -> None:
    own, other = (c.SetPassword(user_id=user_id, password_hash="h") for user_id in ("u", "other"))

    assert why_forbidden(user("viewer"), own) == ""
    assert "requires the role admin; ann has viewer" in why_forbidden(user("viewer"), other)
    assert why_forbidden(Actor(kind="api_key", id="u", name="k", role="viewer"), own)


def test_a_webhook_queues_runs_of_its_own_dag_only() -> None:
    assert why_forbidden(hook(), QUEUE) == ""
    for actor, command in ((hook(), START), (hook("webhook:e"), QUEUE), (hook(), TOUCH), (hook(role=""), QUEUE)):
        assert why_forbidden(actor, command)


def test_only_the_system_sends_what_it_sends() -> None:
    assert why_forbidden(SYSTEM, TOUCH) == ""
    assert why_forbidden(SYSTEM, START)
    assert why_forbidden(user("admin"), TOUCH)
