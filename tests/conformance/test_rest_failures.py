"""Each documented failure of each operation, on both deployments, and the roles that operations require."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest

from services.api.operations import Operation
from services.api.routes import OPERATIONS
from services.api.settings import Settings
from shared.login_failures import by_address
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from tests.conformance.conftest import Deployment
from tests.conformance.rest_contract import FAILURES, NEEDS
from tests.conformance.rest_failures import ROWS, Row
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.harness.eventually import free_port

QUICK = "steps:\n  - name: s\n    command: echo hi\nhandlerOn:\n  exit:\n    command: echo bye\n"
SLOW = "maxActiveRuns: 1\nsteps:\n  - name: s\n    command: sleep 300\n"
LINE = f"queue: full\n{QUICK}"
ASKS = "steps:\n  - name: ok?\n    type: hitl\n    config: {prompt: go on, input: [WHY], required: [WHY]}\n"
CALLS = "steps:\n  - name: s\n    call: child\n---\nname: child\nsteps:\n  - name: s\n    command: echo hi\n"
ROLES = ("viewer", "operator", "manager", "admin")
FOR_LIMITED = frozenset({"getCurrentUser", "validateDAGSpec", "createNewDAG", "changePassword"})
"""What a key that is limited to some DAGs may ask without naming one: the scheduler checks the name of a new one."""
BY_ID = {each.id: each for each in OPERATIONS}


@dataclass(frozen=True, slots=True)
class World:
    """Gateways with one database and broker, and the objects created there, by ``$name``."""

    gateways: dict[str, Live]
    made: dict[str, str]


def build(live: Live, away_url: str) -> World:
    users = live.app_with(BUILTIN)
    for name, spec in (("quick", QUICK), ("slow", SLOW), ("line", LINE), ("calls", CALLS), ("hooked", QUICK)):
        live.dag(name, spec)
    live.dag("off", QUICK)
    live.dag("asks", ASKS)
    for name, run_id in (("quick", "done"), ("slow", "on"), ("calls", "parent"), ("asks", "waiting")):
        live.start(name, dagRunId=run_id)
    live.post("/dags/slow/enqueue", {"dagName": "stopper", "queue": "full", "dagRunId": "holds"})
    live.until("stopper", "holds", 1)
    live.post("/dags/line/enqueue", {"dagRunId": "waits"})
    live.until("quick", "done", 4)
    live.until("calls", "parent", 4)
    live.until("asks", "waiting", 7)
    credentials = {"username": "admin", "password": "adminadmin"}
    login = users.post("/auth/login", credentials)
    admin = login["token"]
    made = {
        "$admin": admin,
        "$admin id": login["user"]["id"],
        "$sub": live.get("/dag-runs/calls/parent/sub-dag-runs")["subRuns"][0]["dagRunId"],
    }
    dup = {"username": "dup", "password": "long enough", "role": "viewer"}
    made["$dup"] = users.post("/users", dup, status=201, token=admin)["user"]["id"]
    users.post("/api-keys", {"name": "dup", "role": "viewer"}, status=201, token=admin)
    for role in ROLES:
        key = users.post("/api-keys", {"name": role, "role": role}, status=201, token=admin)
        made[f"${role}"] = key["key"]
        made["$key"] = key["apiKey"]["id"]
    limited = {"name": "limited", "role": "admin", "dags": ["quick", "line*"]}
    made["$limited"] = users.post("/api-keys", limited, status=201, token=admin)["key"]
    made["$admin"] = admin
    for name in ("hooked", "off"):
        made[f"${name}"] = users.post(f"/dags/{name}/webhook", status=201, token=admin)["token"]
    users.post("/dags/off/webhook/toggle", {"enabled": False}, token=admin)
    users.post("/webhooks/hooked", {"dagRunId": "once"}, token=made["$hooked"])
    away = Live(live.deps, Reads(open_engine(away_url, read_only=True))).app_with(Settings())
    return World({"open": live, "users": users, "away": away}, made)


@pytest.fixture(scope="module")
def world(deployment: Deployment) -> Iterator[World]:
    postgres = deployment.database_url.startswith("postgresql")
    away = (
        f"postgresql://x@127.0.0.1:{free_port()}/x" if postgres else f"sqlite:///{deployment.folder}/nowhere/dagway.db"
    )
    with open_live(deployment) as live:
        made = build(live, away)
        yield made
        made.gateways["away"].reads._engine.dispose()


def path_of(operation: Operation, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: quote(values.get(found[1], "x"), safe=""), operation.path)


def test_every_documented_failure_has_a_row_and_no_row_is_made_up() -> None:
    assert {each.failure for each in ROWS} == FAILURES


def test_every_operation_of_the_contract_has_its_role_and_permission() -> None:
    assert {name: (BY_ID[name].role, BY_ID[name].permission) for name in NEEDS} == NEEDS


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_failures_have_the_documented_status_and_code(world: World, row: Row) -> None:
    operation = BY_ID[row.operation]
    path = path_of(operation, {name: world.made.get(value, value) for name, value in row.path.items()})
    raw = {"data": row.data, "content_type": "application/json"}
    options: dict[str, Any] = raw if row.data is not None else {"json": row.body}

    response = world.gateways[row.gateway].ask(
        operation.method, path, query_string=row.query, token=world.made.get(row.token, row.token), **options
    )

    content = response.get_json()
    assert (response.status_code, content["code"]) == (row.status, row.code), content
    assert content["message"]
    assert set(content) <= {"code", "message", "details"}


GUESSER = "192.0.2.99"
"""An address that nothing else uses: its failures are in the database that all tests of this module share."""


def admission(operation: Operation, who: str) -> tuple[int, str] | None:
    """Return with which error somebody must be refused whatever the request says; ``None``: not refused."""
    if operation.role == "public":
        return None
    if who == "nobody":
        return (401, "unauthorized")
    if who == "limited":
        return None if operation.id in FOR_LIMITED else (403, "forbidden")
    return None if ROLES.index(who) >= ROLES.index(operation.role) else (403, "forbidden")


@pytest.mark.parametrize("who", ["nobody", *ROLES, "limited"])
def test_every_operation_admits_and_refuses_whom_it_must(world: World, who: str) -> None:
    """Every operation is called with what an admitted request would fail at: broken JSON, or names of nothing."""
    users, found = world.gateways["users"], Counter[str]()
    for each in OPERATIONS:
        expected = admission(each, who)
        found["refused" if expected else "admitted"] += 1
        if each.role == "public":
            # Nobody is refused, and a logout would end the login that the rest is asked with.
            continue
        broken = {"data": b"{", "content_type": "application/json"} if each.body is not None else {}
        response = users.ask(each.method, path_of(each, {}), token=world.made.get(f"${who}", ""), **broken)
        if expected is not None:
            assert (response.status_code, response.get_json()["code"]) == expected, each.id
        else:
            # Only users have a password to change: all but the administrator are API keys.
            assert response.status_code < 500, each.id
            assert response.status_code not in {401, 403} or each.id == "changePassword", each.id
        response.close()

    print(f"{who}: {found['admitted']} operations admitted, {found['refused']} refused")  # noqa: T201
    assert found.total() == len(OPERATIONS)


def test_every_write_by_the_session_cookie_must_come_from_our_page(world: World) -> None:
    page = world.gateways["users"].app_with(BUILTIN)
    page.post("/auth/session", {"username": "admin", "password": "adminadmin"})
    listed = [each for each in OPERATIONS if each.role != "public"]

    silent = {each.id: page.ask(each.method, path_of(each, {})).status_code for each in listed if each.write}
    other = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    foreign = {each.id: page.ask(each.method, path_of(each, {}), headers=other).status_code for each in listed}

    assert {name: status for name, status in silent.items() if status != 403} == {}
    assert {name: status for name, status in foreign.items() if status != 403} == {}


def test_who_guessed_too_often_waits_for_every_operation_that_is_not_public(world: World) -> None:
    guesser = world.gateways["users"].app_with(replace(BUILTIN, token="t"))
    for _ in range(110):
        guesser.deps.auth.guesses.failed(by_address(GUESSER))

    found = {
        each.id: guesser.refused(each.method, path_of(each, {}), token="t", environ_base={"REMOTE_ADDR": GUESSER})
        for each in OPERATIONS
        if each.role != "public"
    }

    assert set(found.values()) == {(429, "too_many_requests")}


def test_a_key_that_is_limited_to_some_dags_reaches_nothing_else(world: World) -> None:
    """As admin, so that no role is in its way."""
    users, key = world.gateways["users"], world.made["$limited"]
    found = {}
    for each in OPERATIONS:
        if each.role != "public" and each.id not in FOR_LIMITED:
            response = users.ask(each.method, path_of(each, {"fileName": "slow", "name": "slow"}), token=key)
            found[each.id] = (response.status_code, response.get_json()["code"])
            assert "limited to the DAGs quick line*" in response.get_json()["message"]

    assert set(found.values()) == {(403, "forbidden")}


def test_a_key_that_is_limited_to_some_dags_can_use_them(world: World) -> None:
    users, key = world.gateways["users"], world.made["$limited"]

    assert users.get("/dags/quick", token=key)["dag"]["name"] == "quick"
    assert users.get("/dag-runs/quick/done", token=key)["dagRunDetails"]["status"] == 4
    assert users.post("/dags/quick/start", {"dagRunId": "by-key"}, token=key) == {"dagRunId": "by-key"}
    # Names in the body, and names that a file or a run has besides, count too.
    spec = "name: slow\nsteps:\n  - echo hi\n"
    assert users.refused("POST", "/dags/quick/start", {"dagName": "slow"}, token=key) == (403, "forbidden")
    assert users.refused("POST", "/dags/quick/rename", {"newFileName": "fast"}, token=key) == (403, "forbidden")
    assert users.refused("POST", "/dags", {"name": "other", "spec": spec}, token=key) == (403, "forbidden")
    users.post("/dags", {"name": "line-2", "spec": spec}, status=201, token=key)
    assert users.refused("GET", "/dags/line-2/dag-runs", token=key) == (403, "forbidden")
    assert users.refused("GET", "/dag-runs/line-2.yaml", token=key) == (403, "forbidden")
    bulk = {"runs": [{"name": "slow", "dagRunId": "on"}]}
    assert users.refused("POST", "/dag-runs/bulk/stop", bulk, token=key) == (403, "forbidden")


def test_what_the_configuration_does_not_permit_is_refused_to_everybody(world: World) -> None:
    gateways = {
        "write_dags": world.gateways["open"].app_with(Settings(write_dags=False)),
        "run_dags": world.gateways["open"].app_with(Settings(run_dags=False)),
    }

    found = {
        each.id: gateways[each.permission].refused(each.method, path_of(each, {}))
        for each in OPERATIONS
        if each.permission is not None
    }

    assert set(found.values()) == {(403, "forbidden")}
    reads = {"getCommand", "listSecrets"}
    assert {each.id for each in OPERATIONS if each.role in {"operator", "manager"}} - found.keys() == reads
