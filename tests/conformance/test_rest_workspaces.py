"""What belongs to a workspace is not seen, named or changed from another one: every operation, on both deployments."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.api.problems import Problem
from services.api.routes import OPERATIONS
from shared.clock import utc_now
from shared.contracts.actors import Actor
from shared.contracts.commands.accounts import CreateUser
from shared.store.writes.workspaces import WorkspaceWrites
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.conformance.workspace_places import HIDDEN, Place, fill, member, state
from tests.harness.eventually import eventually

OF_WORKSPACES = [each for each in OPERATIONS if each.reach == "workspace" and each.role != "public"]
STREAMS = {"streamEvents", "streamDAGRunEvents"}


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment, BUILTIN) as opened:
        yield opened


@pytest.fixture(scope="module")
def admin(live: Live) -> Place:
    token = live.log_in()
    values = {
        "fileName": HIDDEN,
        "name": HIDDEN,
        "dagRunId": f"{HIDDEN}-run",
        "subDAGRunId": f"{HIDDEN}-run",
        "stepName": f"{HIDDEN}-step",
        "version": "1",
        "commandId": f"{HIDDEN}-command",
        "queues.name": f"{HIDDEN}-queue",
        "pools.name": f"{HIDDEN}-pool",
        "secrets.name": f"{HIDDEN}_secret",
    }
    return Place(live, "", token, values)


@pytest.fixture(scope="module")
def places(admin: Place) -> tuple[Place, Place]:
    """The empty workspace ``acme``, and ``beta``; the default workspace has the same as ``beta``."""
    fill(admin)
    acme, beta = member(admin, "acme", "ann"), member(admin, "beta", "bob")
    beta.values["keyId"] = fill(beta)
    return acme, beta


def test_nothing_of_another_workspace_is_seen(places: tuple[Place, Place]) -> None:
    acme, beta = places
    seen = set()
    for operation in OF_WORKSPACES:
        if operation.method != "GET" or operation.write or operation.id in STREAMS:
            continue
        theirs, ours = beta.call(operation), acme.call(operation)
        text = ours.get_data(as_text=True)
        if theirs.status_code == 200 and HIDDEN in theirs.get_data(as_text=True):
            seen.add(operation.id)
        # An error may repeat the name that was asked for.
        assert ours.status_code in {400, 404} or HIDDEN not in text, (operation.id, text)
        assert "␟" not in text + theirs.get_data(as_text=True), operation.id
        if ours.status_code == 200:
            assert "beta" not in text, (operation.id, text)
    assert len(seen) > 25, seen
    assert {"listDAGs", "listDAGRuns", "listQueues", "listPools", "listSecrets", "listAPIKeys", "listWebhooks"} <= seen


def test_another_workspace_cannot_be_named(places: tuple[Place, Place], admin: Place) -> None:
    acme, _ = places
    key = acme.done("POST", "/api-keys", {"name": "ci", "role": "admin"})["key"]
    for operation in OF_WORKSPACES:
        for token, workspace in (
            (acme.token, "beta"),
            (acme.token, ""),
            (acme.token, "unknown"),
            (key, "beta"),
            (key, ""),
        ):
            foreign = Place(acme.live, workspace, token, acme.values)
            answer = foreign.call(operation)
            assert answer.status_code == 403, (operation.id, workspace, answer.get_data(as_text=True))
            if workspace:
                assert answer.get_json()["message"].endswith(f"may not use the workspace {workspace}"), operation.id
    assert acme.ask("GET", "/users").status_code == 403
    # A remote node sees only this server's account, so its workspaces need a role here.
    assert Place(acme.live, "", acme.token, acme.values).ask("GET", "/workspaces?remoteNode=far").status_code == 403
    assert admin.ask("GET", "/dags?workspace=unknown").status_code == 404
    assert admin.ask("GET", "/dags?workspace=acme&workspace=beta").status_code == 404
    assert admin.ask("POST", "/pause?workspace=acme", {}).status_code == 400


def test_nothing_of_another_workspace_is_changed(places: tuple[Place, Place], admin: Place) -> None:
    _, beta = places
    gamma = member(admin, "gamma", "cid")
    before = state(beta), state(admin)
    answers = {each.id: gamma.call(each) for each in OF_WORKSPACES if each.write}
    codes = {name: answer.status_code for name, answer in answers.items()}
    assert len(codes) > 40
    assert (state(beta), state(admin)) == before
    # What it created has the same names, in its own workspace.
    created = {name for name, code in codes.items() if code < 300}
    assert {"createNewDAG", "setQueueLimit", "setPoolCapacity", "setSecret", "executeDAGRunFromSpec"} <= created
    for name in ("deleteDAG", "executeDAG", "terminateDAGRun", "deleteAPIKey"):
        assert codes[name] == 404, (name, answers[name].get_data(as_text=True))
    assert max(codes.values()) < 500, codes


def test_a_run_uses_what_belongs_to_its_workspace(places: tuple[Place, Place], admin: Place) -> None:
    assert places
    delta = member(admin, "delta", "dan")

    def run(name: str, spec: str, status: int) -> dict[str, Any]:
        delta.done("POST", "/dags", {"name": name, "spec": spec})
        run_id = delta.done("POST", f"/dags/{name}/start")["dagRunId"]
        headers = {"X-Dagway-Workspace": "delta"}
        return delta.live.until(name, run_id, status, token=delta.token, headers=headers)

    delta.done("PUT", "/secrets/own", {"value": "the value"})
    uses = """\
secrets:
  - {name: OWN, provider: stored, key: own}
steps:
  - name: s
    command: test "$OWN" = 'the value' && echo "$DAG_NAME"
    output: NAME
    pool: p
"""
    used = run("uses", uses, 4)
    path = f"/dag-runs/uses/{used['dagRunId']}"
    assert delta.done("GET", f"{path}/outputs")["outputs"] == {"name": "uses"}
    stream = delta.ask("GET", f"{path}/events").get_data(as_text=True)
    assert '"uses"' in stream
    assert "␟" not in stream
    run("calls", "steps:\n  - name: c\n    run: uses\n", 4)
    # What another workspace has is not there, under its plain name or its stored one.
    for name in (HIDDEN, f"beta␟{HIDDEN}"):
        key = f"{name}_secret"
        calls = f"calls-{'␟' in name}"
        assert " no" in str(run(calls, f"steps:\n  - name: c\n    run: {name}\n", 2)["nodes"])
        run(f"{calls}-secret", f"secrets:\n  - {{name: S, provider: stored, key: {key}}}\nsteps:\n  - echo $S\n", 2)
    delta.done("POST", "/dags", {"name": "queues", "spec": f"queue: beta␟{HIDDEN}-queue\nsteps:\n  - echo hi\n"})
    assert delta.ask("POST", "/dags/queues/start").status_code == 400
    # The log of a run says who started it, also as a file.
    key = delta.done("POST", "/api-keys", {"name": "ci", "role": "operator"})["key"]
    by_key = replace(delta, token=key)
    started = by_key.done("POST", "/dags/uses/start?wait=60s")["dagRunId"]
    log = by_key.ask("GET", f"/dag-runs/uses/{started}/log/download")
    assert "apikey:ci" in log.get_data(as_text=True)
    assert "␟" not in log.get_data(as_text=True)
    assert f'"uses.{started}.log"' in log.headers["Content-Disposition"]


def test_a_new_workspace_shows_nothing_of_a_former_one(places: tuple[Place, Place], admin: Place) -> None:
    assert places
    fay = member(admin, "zeta", "fay")
    fay.done("POST", "/dags", {"name": "gone", "spec": "steps:\n  - echo hi\n"})
    run_id = fay.done("POST", "/dags/gone/start?wait=60s")["dagRunId"]
    fay.done("POST", "/dags/gone/pause", {})
    fay.done("DELETE", "/dags/gone")
    assert admin.ask("DELETE", "/workspaces/zeta").status_code == 409
    fay.done("POST", "/dag-runs/bulk/remove", {"runs": [{"name": "gone", "dagRunId": run_id}]})
    admin.done("DELETE", "/workspaces/zeta")

    assert fay.ask("GET", "/dags").status_code == 403
    admin.done("POST", "/workspaces", {"name": "zeta"})
    again = Place(admin.live, "zeta", admin.token, admin.values)
    for path in ("/dags", "/dag-runs", "/pauses", "/queues", "/slots", "/metrics"):
        assert "gone" not in again.ask("GET", path).get_data(as_text=True), path


def test_of_two_who_create_a_workspace_at_once_one_is_refused(admin: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    look = WorkspaceWrites.lock
    transactions: list[WorkspaceWrites] = []

    def before_the_other_commits(self: WorkspaceWrites, name: str) -> Any:
        transactions.append(self)
        return None if self is transactions[0] else look(self, name)

    admin.done("POST", "/workspaces", {"name": "race", "description": "the first", "maxRunning": 3})
    monkeypatch.setattr(WorkspaceWrites, "lock", before_the_other_commits)

    second = admin.ask("POST", "/workspaces", {"name": "race", "description": "the second"})

    assert (second.status_code, second.get_json()["code"]) == (409, "already_exists"), second.get_data(as_text=True)
    assert transactions[-1] is not transactions[0]
    kept = admin.done("GET", "/workspaces/race")["workspace"]
    assert (kept["description"], kept["maxRunning"]) == ("the first", 3)


def test_a_username_is_no_stored_name(live: Live, admin: Place) -> None:
    user = admin.done("POST", "/users", {"username": "una", "password": "long-enough", "role": "viewer"})["user"]
    body = {"username": "race␟una", "password": "long-enough", "role": "viewer"}
    for method, path in (("POST", "/users"), ("PATCH", f"/users/{user['id']}")):
        answer = admin.ask(method, path, body)
        assert answer.status_code == 400, answer.get_data(as_text=True)
        assert answer.get_json()["message"].startswith("username: 'race␟una' must not contain the character ␟")
    # A gateway of an earlier version sends the name to the scheduler.
    actor = Actor(kind="token", id="root", name="root", role="admin")
    forged = CreateUser(by="root", actor=actor, user_id="u", username="race␟una", role="viewer", password_hash="h")
    with pytest.raises(Problem, match="^400 bad_request: username: 'race␟una' must not contain the character ␟"):
        live.deps.commands.ask(forged)


def test_public_requests_show_nothing_of_a_workspace(places: tuple[Place, Place]) -> None:
    assert places
    gateway = places[0].live.app_with(replace(BUILTIN, metrics_public=True))

    def scraped(query: str) -> set[str]:
        text = gateway.ask("GET", f"/metrics{query}").get_data(as_text=True)
        return {line for line in text.splitlines() if line.startswith("dagu_dags_total")}

    assert scraped("?workspace=acme") == scraped("") == {"dagu_dags_total 1.0"}
    assert gateway.ask("POST", f"/webhooks/{HIDDEN}?workspace=No", {}).status_code == 404
    assert gateway.ask("POST", f"/webhooks/{HIDDEN}?workspace=acme", {}).status_code in {401, 404}


def test_made_up_workspaces_displace_no_caches(places: tuple[Place, Place], admin: Place) -> None:
    acme, _ = places
    caches = acme.live.deps.of_workspaces
    acme.done("GET", "/dag-runs")
    kept = caches.of("acme")
    for number in range(200):
        asked = f"workspace=made-up-{number}"
        assert acme.live.ask("POST", f"/webhooks/x?{asked}", {}).status_code in {401, 404}
    for number in range(3):
        assert admin.ask("GET", f"/metrics?workspace=made-up-{number}").status_code == 404

    assert caches.of("acme") is kept
    assert len(caches) < 20


def test_a_workspace_keeps_its_quotas(places: tuple[Place, Place], admin: Place) -> None:
    assert places
    eve = member(admin, "epsilon", "eve")
    admin.done("PATCH", "/workspaces/epsilon", {"maxRunning": 1, "maxQueued": 1, "maxDags": 2})
    headers = {"X-Dagway-Workspace": "epsilon"}
    for name in ("first", "second"):
        eve.done("POST", "/dags", {"name": name, "spec": "steps:\n  - sleep 600\n"})

    def refused(path: str, body: dict[str, Any]) -> str:
        answer = eve.ask("POST", path, body)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded"), answer.get_data(as_text=True)
        return str(answer.get_json()["message"])

    assert refused("/dags", {"name": "third"}) == "The workspace epsilon may have at most 2 DAGs"
    eve.done("POST", "/dags/first/start", {"dagRunId": "one"})
    assert refused("/dags/second/start", {"dagRunId": "two"}).endswith("at most 1 running runs")
    # The quota is not the reason why a running run cannot be retried.
    again = eve.ask("POST", "/dag-runs/first/one/retry", {"dagRunId": "one"})
    assert again.get_json()["code"] == "already_running"
    # The queue of this DAG is empty: only the quota holds its run back.
    eve.done("POST", "/dags/second/enqueue", {"dagRunId": "three"})
    assert refused("/dags/first/enqueue", {"dagRunId": "four"}).endswith("at most 1 queued runs")
    waits = eve.done("GET", "/dag-runs/second/three")["dagRunDetails"]
    assert (waits["statusLabel"], waits["waitingFor"]) == (
        "queued",
        "the workspace runs 1 of at most 1 runs at once",
    )
    # Another workspace is not held back.
    admin.done("POST", "/dag-runs", {"name": "free", "spec": "steps:\n  - echo hi\n", "dagRunId": "free"})
    eve.done("POST", "/dag-runs/first/one/stop")
    eve.live.until("second", "three", 1, token=eve.token, headers=headers)
    eve.done("POST", "/dag-runs/second/three/stop")
    eve.live.until("second", "three", 3, token=eve.token, headers=headers)
    shown = admin.done("PATCH", "/workspaces/epsilon", {"maxRunning": 0})["workspace"]
    assert (shown.get("maxRunning"), shown["maxQueued"]) == (None, 1)
    admin.live.until("free", "free", 4, token=admin.token)  # else it ends while another test compares what there is


def test_a_log_is_cut_when_the_quota_of_the_day_is_used_up(places: tuple[Place, Place], admin: Place) -> None:
    assert places
    # At midnight the quota begins anew: the test does not begin shortly before.
    eventually(lambda: utc_now().date() == (utc_now() + timedelta(minutes=2)).date(), timeout_s=130)
    lou = member(admin, "lambda", "lou")
    admin.done("PATCH", "/workspaces/lambda", {"maxLogBytesPerDay": 1000})
    lou.done("POST", "/dags", {"name": "talks", "spec": "steps:\n  - name: s\n    command: seq 10000 19999\n"})

    def lines() -> list[str]:
        ended = lou.done("POST", "/dags/talks/start?wait=60s")
        # Steps go on, and the end of a run does not wait for what was cut.
        assert (ended["finished"], ended["dagRunDetails"]["statusLabel"]) == (True, "succeeded")
        run = lou.live.reads.run("lambda␟talks", ended["dagRunId"])
        assert run is not None
        assert lou.live.reads.missing_bytes(run.run_key) == 0
        log = lou.done("GET", f"/dag-runs/talks/{ended['dagRunId']}/steps/s/log?stream=stdout")["content"]
        return str(log).splitlines()

    first, second = lines(), lines()

    # 6 bytes a line: no half line is stored.
    assert first[:-1] == [str(number) for number in range(10_000, 10_166)]
    assert second == first[-1:]
    assert "the workspace lambda has used up its quota of 1000 bytes of logs for" in second[0]
    shown = admin.done("GET", "/workspaces/lambda")["workspace"]
    assert (shown["maxLogBytesPerDay"], shown["logBytesToday"]) == (1000, 1000)
    # Another workspace is not cut.
    started = admin.done("POST", "/dag-runs", {"name": "talks", "spec": "steps:\n  - name: s\n    command: echo all\n"})
    admin.live.until("talks", started["dagRunId"], 4, token=admin.token)
    path = f"/dag-runs/talks/{started['dagRunId']}/steps/s/log?stream=stdout"
    assert admin.done("GET", path)["content"].splitlines() == ["all"]
    # With a higher quota, output is stored again.
    admin.done("PATCH", "/workspaces/lambda", {"maxLogBytesPerDay": 1_000_000})
    assert len(lines()) > len(first)


def test_a_worker_pool_serves_only_the_workspaces_that_it_is_reserved_for(
    places: tuple[Place, Place], admin: Place, tmp_path: Path
) -> None:
    assert places
    iota, other = member(admin, "iota", "ida"), member(admin, "kappa", "kim")
    headers = {"X-Dagway-Workspace": "kappa"}
    why = "the worker pool default does not serve this workspace"
    # The first step may be repeated, so its worker does not go on with the second one itself.
    repeat, waits = "{repeat: while, exitCode: [99]}", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    begun = f"steps:\n  - {{command: '{waits}', repeatPolicy: {repeat}}}\n  - touch {tmp_path}/never\n"
    for place in (iota, other):
        place.done("POST", "/dags", {"name": "short", "spec": "steps:\n  - echo hi\n"})
        place.done("POST", "/dags", {"name": "begun", "spec": begun + "handlerOn: {exit: {command: echo end}}\n"})

    def of_other(name: str, status: int) -> dict[str, Any]:
        return other.live.until(name, "r", status, token=other.token, headers=headers)

    def waits_for(name: str) -> str:
        return str(other.done("GET", f"/dag-runs/{name}/r")["dagRunDetails"].get("waitingFor"))

    other.done("POST", "/dags/begun/start", {"dagRunId": "r"})
    eventually(lambda: equal(of_other("begun", 1)["nodes"][0]["statusLabel"], "running"))
    assert admin.ask("PUT", "/worker-pools/default", {"workspaces": ["made-up"]}).status_code == 404
    assert iota.ask("PUT", "/worker-pools/default", {"workspaces": ["iota"]}).status_code == 403
    try:
        admin.done("PUT", "/worker-pools/default", {"workspaces": ["iota"]})
        shown = [{"name": "default", "workspaces": ["iota"]}]
        assert admin.done("GET", "/worker-pools") == {"workerPools": shown}

        refused = other.ask("POST", "/dags/short/start", {"dagRunId": "direct"})
        assert (refused.status_code, refused.get_json()["message"]) == (409, why.capitalize())
        other.done("POST", "/dags/short/enqueue", {"dagRunId": "r"})
        eventually(lambda: equal(waits_for("short"), why))
        # What is running in the pool sends no more tasks to it, not even that of a handler.
        (tmp_path / "go").touch()
        nodes = of_other("begun", 2)["nodes"]
        assert [each["statusLabel"] for each in nodes] == ["succeeded", "failed"]
        assert nodes[1]["error"] == why
        assert not (tmp_path / "never").exists()
        assert other.ask("POST", "/dag-runs/begun/r/retry", {"dagRunId": "r"}).status_code == 409
        # The workspace that the pool is reserved for is served.
        assert iota.done("POST", "/dags/short/start?wait=60s")["dagRunDetails"]["statusLabel"] == "succeeded"
        assert admin.ask("DELETE", "/workspaces/iota").status_code == 409
        assert waits_for("short") == why
    finally:
        admin.done("DELETE", "/worker-pools/default")
    of_other("short", 4)


def test_a_sub_run_waits_for_a_pool_that_serves_its_workspace(places: tuple[Place, Place], admin: Place) -> None:
    acme, _ = places
    headers = {"X-Dagway-Workspace": "acme"}
    admin.done("PUT", "/worker-pools/gpu", {"workspaces": ["beta", "default"]})
    acme.done("POST", "/dags", {"name": "on-gpu", "spec": "workerSelector: {worker-pool: gpu}\nsteps:\n  - echo hi\n"})
    acme.done("POST", "/dags", {"name": "asks", "spec": "steps:\n  - name: c\n    run: on-gpu\n"})
    acme.done("POST", "/dags/asks/start", {"dagRunId": "r"})

    def waits() -> None:
        node = acme.live.run("asks", "r", token=acme.token, headers=headers)["nodes"][0]
        assert node.get("waitingFor", "").endswith("waits for: the worker pool gpu does not serve this workspace"), node

    eventually(waits)
    acme.done("POST", "/dag-runs/asks/r/stop")
    acme.live.until("asks", "r", 3, token=acme.token, headers=headers)
    admin.done("DELETE", "/worker-pools/gpu")
    assert admin.ask("DELETE", "/worker-pools/gpu").status_code == 404


def equal(found: object, expected: object) -> None:
    assert found == expected


def test_a_member_sees_its_workspaces_and_an_administrator_all(places: tuple[Place, Place], admin: Place) -> None:
    acme, _ = places

    def listed(place: Place) -> list[tuple[str, str]]:
        return [(each["name"], each["role"]) for each in place.done("GET", "/workspaces")["workspaces"]]

    assert listed(acme) == [("acme", "admin")]
    assert listed(admin)[:3] == [("default", "admin"), ("acme", "admin"), ("beta", "admin")]
    assert [each["username"] for each in admin.done("GET", "/workspaces/beta")["members"]] == ["bob"]
    assert admin.ask("DELETE", "/workspaces/beta").get_json()["message"].startswith("The workspace beta still has DAGs")
    assert "The default workspace has no members" in admin.ask("GET", "/workspaces/default").get_json()["message"]
