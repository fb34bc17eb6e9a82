"""Every write has exactly one entry in the audit log, whether it was done or refused, on both deployments."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.api.routes import OPERATIONS
from shared.contracts.commands.permissions import MINIMUM_ROLE
from tests.conformance.audit_requests import Expected
from tests.conformance.audit_walk import walk_all
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.harness.eventually import eventually

WITH_TOKEN = replace(BUILTIN, token="static")
STATIC = "static"


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment, WITH_TOKEN) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(live: Live) -> list[Expected]:
    """What was asked of every write operation, whose entries are complete and linked now."""
    admin = live.log_in()
    asked = walk_all(live, admin)

    def complete() -> None:
        found = {each.get("requestId") for each in entries(live)}
        assert {each.request_id for each in asked} <= found
        assert live.reads.verify_audit().waiting == 0

    eventually(complete)
    return asked


def entries(live: Live, query: str = "") -> list[dict[str, Any]]:
    text = live.ask("GET", f"/audit?format=ndjson&{query}", token=STATIC).get_data(as_text=True)
    return [json.loads(line) for line in text.splitlines()]


def test_the_walk_calls_every_write_operation(expected: list[Expected]) -> None:
    assert {each.operation_id for each in expected} == {each.id for each in OPERATIONS if each.audited}
    refused_by_role = {each.operation_id for each in expected if each.code == "forbidden"}
    # Nobody needs a role to log in or out; the token of a webhook is its credential.
    assert {each.id for each in OPERATIONS if each.audited} - refused_by_role == {
        "login",
        "logout",
        "startSession",
    }


def test_every_write_has_one_entry_that_is_found_by_actor_and_target(live: Live, expected: list[Expected]) -> None:
    counts = Counter(each.get("requestId") for each in entries(live))
    by_actor = {actor: entries(live, f"actor={actor}") for actor in {each.actor for each in expected}}
    by_target = {target: entries(live, f"target={target}") for target in {each.target for each in expected}}
    for each in expected:
        assert counts[each.request_id] == 1, each
        [entry] = [one for one in by_actor[each.actor] if one.get("requestId") == each.request_id]
        assert entry in by_target[each.target], each
        assert (entry["outcome"], entry.get("code", "")) == ("refused" if each.code else "done", each.code), each
        assert (entry["count"], entry["actor"]["address"]) == (1, live.address), each


def test_gateway_and_scheduler_require_the_same_role(live: Live, expected: list[Expected]) -> None:
    """The operation table and the table of commands cannot differ: each is seen in the entries of the other."""
    types = {command.type: role for command, role in MINIMUM_ROLE.items()}
    roles = {each.id: each.role for each in OPERATIONS}
    sent = {each["requestId"]: each["operation"] for each in entries(live) if "requestId" in each}
    pairs = {(each.operation_id, sent[each.request_id]) for each in expected}
    commands = {(operation, command) for operation, command in pairs if command in types}

    # Exceptions of ``why_forbidden``: users change their own passwords and log out, and webhooks have no role.
    pairs_of_their_own = {
        ("changePassword", "user.set_password"),
        ("logout", "login.end"),
        ("triggerWebhook", "run.enqueue"),
    }
    assert pairs_of_their_own <= commands
    for operation, command in commands - pairs_of_their_own:
        assert types[command] == roles[operation], (operation, command)
    # An update with If-Match sends another command, in the same operation.
    assert types.keys() - {command for _, command in commands} == {"dag.replace_spec"}
    assert types["dag.replace_spec"] == types["dag.put_spec"]


def test_entries_hold_no_secrets(live: Live, expected: list[Expected]) -> None:
    text = json.dumps(entries(live))

    assert expected
    for secret in ("long-enough", "another-one", "wrong-one", "adminadmin", "dagu_", "argon2", "echo one"):
        assert secret not in text, secret


def test_a_change_shows_what_was_before(live: Live, expected: list[Expected]) -> None:
    [changed] = entries(live, "operation=user.update&target=tmp&outcome=done")[-1:]
    specs = entries(live, "operation=dag.put_spec&target=au&outcome=done")

    assert expected
    assert (changed["before"]["role"], changed["after"]["role"]) == ("viewer", "operator")
    assert specs[0]["before"]["spec_hash"] != specs[0]["after"]["spec_hash"]


def test_the_chain_over_all_of_it_is_unbroken(live: Live, expected: list[Expected]) -> None:
    def complete() -> None:
        found = live.reads.verify_audit()
        assert found.broken is None
        assert found.links == len(entries(live)) >= len(expected)

    # Entries of other tests may be on their way into the chain.
    eventually(complete)


def test_pages_follow_one_another(live: Live, expected: list[Expected]) -> None:
    # Up to the newest of these entries the log is complete; later entries may be on their way into it or its chain.
    asked = {each.request_id for each in expected}
    eventually(lambda: asked <= {each.get("requestId") for each in entries(live)})
    until = max(each["at"] for each in entries(live) if each.get("requestId") in asked)
    whole, paged = entries(live, f"outcome=refused&to={until}"), []
    cursor: str | None = ""
    while cursor is not None:
        page = live.get(f"/audit?outcome=refused&to={until}&limit=20&cursor={cursor}", token=STATIC)
        paged += page["entries"]
        cursor = page["nextCursor"]
    assert len(whole) > 40, "more than two pages"
    assert paged == whole

    middle = whole[len(whole) // 2]["at"]
    after = entries(live, f"outcome=refused&from={middle}&to={until}")
    before = entries(live, f"outcome=refused&to={middle}")
    assert after + before == whole
    assert all(each["at"] < middle for each in before)


def test_bad_questions_are_refused(live: Live) -> None:
    for query, field in (
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("from=yesterday", "from"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("format=xml", "format"),
    ):
        response = live.ask("GET", f"/audit?{query}", token=STATIC)
        assert (response.status_code, field in response.get_json()["message"]) == (400, True), query


def test_a_repeated_command_has_one_entry_and_another_one_with_its_key_has_its_own(live: Live) -> None:
    headers = {"Idempotency-Key": "audit-1"}
    for _ in range(2):
        assert live.ask("PUT", "/pools/k", {"capacity": 3}, token=STATIC, headers=headers).status_code == 200
    for _ in range(2):
        assert live.refused("PUT", "/pools/k", {"capacity": 4}, token=STATIC, headers=headers)[0] == 409

    found = entries(live, "target=k")
    assert sorted((each["outcome"], each["commandId"]) for each in found) == [
        ("done", "audit-1"),
        ("refused", "audit-1"),
    ]


def test_equal_refusals_become_one_entry_with_a_count(live: Live) -> None:
    for _ in range(25):
        assert live.refused("DELETE", "/pools/flood", token="nobody") == (401, "unauthorized")

    def recorded() -> None:
        found = entries(live, "target=flood")
        assert sum(each["count"] for each in found) == 25
        assert len(found) < 25

    eventually(recorded)
