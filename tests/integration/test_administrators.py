"""Two commands at once, each at another scheduler, that would leave no administrator or two, on both deployments."""

from threading import Thread
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, text

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.actors import SYSTEM, Actor
from shared.contracts.codec import decode, encode
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.transaction import Store
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
_ANN, _BOB = (Actor(kind="user", id=name, name=name, role="admin") for name in ("ann", "bob"))
_DEMOTES = (
    c.UpdateUser(user_id="bob", role="viewer", actor=_ANN),
    c.UpdateUser(user_id="ann", role="operator", actor=_BOB),
)
_DELETES = c.DeleteUser(user_id="bob", actor=_ANN), c.DeleteUser(user_id="ann", actor=_BOB)


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (_DEMOTES, "forbidden"),
        (_DELETES, "unauthorized"),
        ((_DEMOTES[0], _DELETES[1]), "forbidden"),
        ((_DELETES[0], _DEMOTES[1]), "unauthorized"),
    ],
    ids=["demote", "delete", "demote and delete", "delete and demote"],
)
def test_one_administrator_is_left(stack: Stack, commands: tuple[c.Command, c.Command], why: str) -> None:
    with stack.engine.begin() as connection:
        for actor in (_ANN, _BOB):
            times = {"created_at": utc_now(), "updated_at": utc_now()}
            row = {"id": actor.id, "username": actor.name, "role": "admin", "password_hash": "h", **times}
            connection.execute(insert(t.users), row)
    reply, later = at_once(stack, *commands)

    assert reply.outcome == "recorded"
    assert later.error is not None
    assert later.error.code == why
    assert [row["id"] for row in stack.rows(t.users, role="admin")] == ["ann"]


def test_gateways_with_different_settings_create_one_first_administrator(stack: Stack) -> None:
    commands = (
        c.EnsureAdmin(
            by=SYSTEM.name, actor=SYSTEM, user_id=f"id-{name}", username=name, role="admin", password_hash="h"
        )
        for name in ("ann", "bob")
    )

    replies = at_once(stack, *commands)

    assert [reply.result["created"] for reply in replies] == [True, False]
    assert [row["username"] for row in stack.rows(t.users)] == ["ann"]


def at_once(stack: Stack, *commands: c.Command) -> tuple[c.CommandReply, c.CommandReply]:
    """Carry out two commands in transactions that overlap; the first one commits first. Return both replies."""
    one, two = (
        Assembly(Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")).transactor
        for _ in range(2)
    )
    first, second = (decode(encode(each, id=f"k{n}", at=utc_now())) for n, each in enumerate(commands))
    replies: list[c.CommandReply] = []
    other = Thread(target=lambda: replies.extend(two.decide(lambda batch: carry_out(batch, [second]))))

    def carry_out_beside(batch: Batch) -> list[c.CommandReply]:
        done = carry_out(batch, [first])
        other.start()
        # SQLite has one writer at a time.
        eventually(lambda: bool(replies) or not is_postgres(stack.engine) or _waits_for_lock(stack))
        return done

    (reply,) = one.decide(carry_out_beside)
    other.join(60)
    (later,) = replies
    return reply, later


def _waits_for_lock(stack: Stack) -> bool:
    with stack.engine.connect() as connection:
        return bool(connection.execute(_WAITING).scalar())
