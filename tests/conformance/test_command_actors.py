"""A scheduler checks the actor of a command again: commands are published here as a gateway, or a forger, would."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from shared.contracts import commands as c
from shared.contracts.actors import SYSTEM, Actor
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.contracts.codec import decode_as, encode
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.reads.reader import AuditFilter, AuditRow, Reads
from shared.transport.base import AUDIT, COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.conformance.conftest import Deployment
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

NOW = datetime.now(UTC)
ANN = Actor(kind="user", id="u-ann", name="ann", role="operator", address="192.0.2.7", request_id="req")
KEY = Actor(kind="api_key", id="k-ci", name="apikey:ci", role="operator")
HOOK = Actor(kind="webhook", id="h-etl", name="webhook:etl", role="operator")


@pytest.fixture(scope="module")
def stack(deployment: Deployment) -> Iterator[Stack]:
    opened = Stack(deployment.database_url, lambda: open_transport(deployment.transport_url, name="test"))
    for _ in range(2):
        opened.scheduler()
    opened.dag("etl", "steps:\n  - name: s\n    command: echo hi\n")
    yield opened
    opened.close()


@pytest.fixture
def rows(stack: Stack) -> None:
    """A user, an API key and a webhook, as gateways know them."""
    times = {"created_at": NOW, "updated_at": NOW}
    secret = {"prefix": "p", "created_by": "x", **times}
    with stack.engine.begin() as connection:
        for table, row in (
            (t.users, {"id": ANN.id, "username": "ann", "role": "operator", "password_hash": "h", **times}),
            (
                t.api_keys,
                {"id": KEY.id, "name": "ci", "role": "operator", "description": "", "secret_hash": "1", **secret},
            ),
            (t.webhooks, {"id": HOOK.id, "file_name": "etl", "enabled": True, "secret_hash": "2", **secret}),
        ):
            connection.execute(delete(table).where(table.c.id == row["id"]))
            connection.execute(insert(table).values(row))


def queue(stack: Stack, actor: Actor | None, **fields: Any) -> c.CommandReply:
    run_id = new_run_id()
    values: dict[str, Any] = {"by": "claimed", "file_name": "etl", "dag_run_id": run_id, "actor": actor, **fields}
    return stack.ask(c.EnqueueRun(**values))


def code(reply: c.CommandReply) -> str:
    return reply.error.code if reply.error is not None else reply.outcome


def newest(stack: Stack, actor: str) -> AuditRow:
    return Reads(stack.engine).audit(AuditFilter(actor=actor), limit=1)[0]


def change(stack: Stack, statement: Any) -> None:
    with stack.engine.begin() as connection:
        connection.execute(statement)


def test_an_actor_of_a_provider_has_the_role_that_its_gateway_found_in_the_workspace(stack: Stack) -> None:
    with stack.engine.begin() as connection:
        row = {"name": "of-actors", "description": "", "by": "test", "created_at": NOW, "updated_at": NOW}
        connection.execute(insert(t.workspaces).values(row))
    member = Actor(kind="oidc", id="eve", name="eve", role="manager")

    def secret(actor: Actor) -> str:
        command = c.SetSecret(by="eve", name="of-actors␟s", sealed="x", actor=actor, workspace="of-actors")
        return code(stack.ask(command))

    assert secret(member) == "recorded"
    assert secret(member.model_copy(update={"role": "operator"})) == "forbidden"
    # Of the others without a row, only administrators have a role in other workspaces.
    assert secret(member.model_copy(update={"kind": "basic"})) == "forbidden"


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("actor", [ANN, KEY, HOOK], ids=lambda actor: actor.kind)
def test_an_actor_who_is_there_is_obeyed_under_its_own_name(stack: Stack, actor: Actor) -> None:
    reply = queue(stack, actor)

    assert code(reply) == "recorded"
    entry = newest(stack, actor.id)
    assert (entry.outcome, entry.actor_name, entry.actor_role, entry.target_id) == (
        "done",
        actor.name,
        "operator",
        reply.result["dagRunId"],
    )


@pytest.mark.usefixtures("rows")
def test_what_a_command_calls_its_sender_does_not_count(stack: Stack) -> None:
    run_id = new_run_id()

    stack.ask(c.StartRun(by="root", actor=ANN, file_name="etl", dag_run_id=run_id))

    assert {row["by"] for row in stack.rows(t.transitions, run_key=stack.run(run_id)["run_key"])} == {"ann"}


@pytest.mark.usefixtures("rows")
def test_a_user_who_was_demoted_meanwhile_is_refused(stack: Stack) -> None:
    change(stack, update(t.users).where(t.users.c.id == ANN.id).values(role="viewer"))

    assert code(queue(stack, ANN)) == "forbidden"

    entry = newest(stack, ANN.id)
    assert (entry.outcome, entry.code, entry.actor_role, entry.address) == (
        "refused",
        "forbidden",
        "viewer",
        "192.0.2.7",
    )


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("actor", "table"), [(ANN, t.users), (KEY, t.api_keys), (HOOK, t.webhooks)], ids=["user", "api_key", "webhook"]
)
def test_an_actor_who_was_deleted_meanwhile_is_refused(stack: Stack, actor: Actor, table: Any) -> None:
    change(stack, delete(table).where(table.c.id == actor.id))

    assert code(queue(stack, actor)) == "unauthorized"

    entry = newest(stack, actor.id)
    assert (entry.outcome, entry.code, entry.actor_name) == ("refused", "unauthorized", actor.name)


@pytest.mark.usefixtures("rows")
def test_an_api_key_that_expired_meanwhile_is_refused(stack: Stack) -> None:
    change(stack, update(t.api_keys).where(t.api_keys.c.id == KEY.id).values(expires_at=NOW))

    assert code(queue(stack, KEY)) == "unauthorized"


@pytest.mark.usefixtures("rows")
def test_an_api_key_that_was_limited_to_other_dags_meanwhile_is_refused(stack: Stack) -> None:
    change(stack, update(t.api_keys).where(t.api_keys.c.id == KEY.id).values(dags="pay* etl", expires_at=None))
    assert code(queue(stack, KEY)) == "recorded"
    assert code(queue(stack, KEY, dag_name="other")) == "forbidden"
    change(stack, update(t.api_keys).where(t.api_keys.c.id == KEY.id).values(dags="pay*"))

    reply = queue(stack, KEY)

    assert code(reply) == "forbidden"
    assert reply.error is not None
    assert "'etl' is none of them" in reply.error.message


@pytest.mark.usefixtures("rows")
def test_a_webhook_that_was_disabled_is_refused(stack: Stack) -> None:
    change(stack, update(t.webhooks).where(t.webhooks.c.id == HOOK.id).values(enabled=False))

    assert code(queue(stack, HOOK)) == "forbidden"


@pytest.mark.usefixtures("rows")
def test_nobody_gets_more_than_the_role_of_the_row(stack: Stack) -> None:
    claimed = ANN.model_copy(update={"role": "admin", "name": "root"})
    make: dict[str, Any] = {"user_id": "u-new", "username": "new", "role": "admin", "password_hash": "h"}

    assert code(stack.ask(c.CreateUser(by="root", actor=claimed, **make))) == "forbidden"
    assert code(stack.ask(c.CreateUser(actor=SYSTEM, **make))) == "forbidden"
    assert code(stack.ask(c.CreateDag(file_name="x", spec="steps: []", actor=HOOK))) == "forbidden"
    assert stack.rows(t.users, id="u-new") == []
    assert newest(stack, ANN.id).actor_name == "ann"


@pytest.mark.usefixtures("rows")
def test_a_demotion_holds_for_the_commands_behind_it(stack: Stack) -> None:
    admin = Actor(kind="token", id="api-token", name="api-token", role="admin")
    demote = c.UpdateUser(user_id=ANN.id, role="viewer", actor=admin)
    start = c.EnqueueRun(file_name="etl", dag_run_id=new_run_id(), actor=ANN)

    assert code(stack.ask(demote)) == "recorded"
    assert code(stack.ask(start)) == "forbidden"


def test_a_command_that_names_nobody_is_refused(stack: Stack) -> None:
    command_id, run_id = new_run_id(), new_run_id()
    body = encode(c.EnqueueRun(by="forger", file_name="etl", dag_run_id=run_id), id=command_id, at=NOW)

    reply = decode_as(stack.transport.request(Outgoing(COMMANDS, body, command_id)).reply(60), c.CommandReply)

    assert code(reply) == "forbidden"
    entry = newest(stack, "forger")
    assert (entry.outcome, entry.code, entry.actor_kind) == ("refused", "forbidden", "unstated")
    assert stack.rows(t.dag_runs, dag_run_id=run_id) == []


def test_the_entry_of_a_gateway_is_recorded_once_whatever_it_says(stack: Stack) -> None:
    """Texts of a refused request may be anything that a client can send."""
    entry = AuditEntry(
        actor=Actor(kind="anonymous", name="z\0"),
        operation="login",
        target=AuditTarget(kind="user", name="z\0z" + "y" * 300),
        outcome="refused",
        code="unauthorized",
        count=7,
    )
    message_id = new_run_id()
    body = encode(entry, id=message_id, at=NOW)
    for _ in range(2):
        stack.transport.send(Outgoing(AUDIT, body, message_id)).result(60)

    def recorded() -> AuditRow:
        found = Reads(stack.engine).audit(AuditFilter(operation="login"), limit=9)
        assert len(found) == 1
        return found[0]

    row = eventually(recorded)
    assert (row.id, row.occurrences, row.actor_name, len(row.target_name)) == (message_id, 7, "z", 200)


def test_two_schedulers_make_one_unbroken_chain(stack: Stack) -> None:
    for number in range(20):
        queue(stack, None, by=f"many-{number}")

    def linked() -> None:
        found = Reads(stack.engine).verify_audit()
        assert found.broken is None
        assert (found.waiting, found.links) == (0, len(stack.rows(t.audit)))

    eventually(linked)
    assert code(queue(stack, None)) == "recorded"


@pytest.mark.usefixtures("rows")
def test_a_member_acts_in_its_workspace_only(stack: Stack) -> None:
    for name in ("acme", "beta"):
        stack.ask(c.CreateWorkspace(name=name))
    stack.ask(c.SetMember(name="acme", user_id=ANN.id, role="manager"))
    stack.ask(c.CreateDag(workspace="acme", file_name="acme␟etl", spec="steps:\n  - echo hi\n"))

    assert code(queue(stack, ANN, workspace="acme", file_name="acme␟etl")) == "recorded"
    # A name of another workspace than the command's, a workspace without a role, and one that does not exist.
    assert code(queue(stack, ANN, workspace="acme", file_name="etl")) == "forbidden"
    assert code(queue(stack, ANN, file_name="acme␟etl")) == "forbidden"
    assert code(queue(stack, ANN, workspace="beta", file_name="beta␟etl")) == "forbidden"
    assert code(queue(stack, None, workspace="gone", file_name="gone␟etl")) == "not_found"
    # A key of the default workspace has no role in another one.
    assert code(queue(stack, KEY, workspace="acme", file_name="acme␟etl")) == "forbidden"

    stack.ask(c.RemoveMember(name="acme", user_id=ANN.id))
    assert code(queue(stack, ANN, workspace="acme", file_name="acme␟etl")) == "forbidden"
