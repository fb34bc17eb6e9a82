"""A Dagu home folder that was imported: its runs can be read, approved and retried, and its secrets are valid."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.api.settings import Settings
from services.importing.dagu import import_dagu
from shared.settings.config import load_config
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import SECRET, Live, open_live
from tests.harness.dagu_home import HomeOfDagu

KEY, TOKEN, PASSWORD = "dagu_3sEabCAFmiaprqvDh72CC", "dagu_wh_SPa2n2NwupXQ7LTynY5osD", "correct horse battery"
HELLO = """
histRetentionDays: 36500
params: NAME=world
steps:
  - name: greet
    command: echo "Hello ${NAME}"
    output: GREETING
  - name: after
    command: echo "after ${GREETING}"
"""
ASKS = "steps:\n  - name: ask\n    type: hitl\n  - name: after\n    command: echo after\n"


@pytest.fixture(scope="module")
def live(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = _home(tmp_path_factory.mktemp("dagu") / "home")
    config = replace(load_config({}, {}, terminal=False), database_url=deployment.database_url)
    report = import_dagu(config, home.root, "test")
    assert report.refused == 0, list(report.as_text())
    with open_live(deployment, Settings(auth_mode="builtin", token_secret=SECRET)) as live:
        yield live


def _home(root: Path) -> HomeOfDagu:
    home = HomeOfDagu(root)
    home.workflow("hello", HELLO)
    home.workflow("asks", ASKS)
    greet = {
        "name": "greet",
        "status": 4,
        "log": "Hello Ada\n",
        "outputVariables": {"GREETING": "GREETING=Hello Ada", "DAGU_CONTINUE_ON.greet": "x"},
    }
    failed = {"name": "after", "status": 2, "log": "", "error": "exit status 9"}
    home.run("hello", "failed", HELLO, 2, [greet, failed], params="NAME=Ada", paramsList=["NAME=Ada"])
    ask = {"name": "ask", "status": 7, "log": ""}
    home.run("asks", "waits", ASKS, 7, [ask, {"name": "after", "status": 0}])
    fresh = [{"name": "greet", "status": 0}, {"name": "after", "status": 0}]
    home.run("hello", "queued", HELLO, 5, fresh, startedAt="-", queuedAt="2026-03-01T10:00:00Z", params="NAME=Bob")
    home.user("u1", "ann", PASSWORD, role="admin")
    home.api_key("k1", "ci", KEY)
    home.webhook("h1", "hello", TOKEN)
    return home


def admin(live: Live) -> str:
    return str(live.post("/auth/login", {"username": "ann", "password": PASSWORD})["token"])


def test_a_run_is_as_it_was_and_a_retry_goes_on_from_there(live: Live) -> None:
    token = admin(live)
    run = live.run("hello", "failed", token=token)
    path = "/dag-runs/hello/failed"

    assert (run["statusLabel"], run["params"]) == ("failed", "NAME=Ada")
    # In the time zone of the machine.
    assert datetime.fromisoformat(run["startedAt"]) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert [(node["statusLabel"], node.get("exitCode")) for node in run["nodes"]] == [("succeeded", 0), ("failed", 9)]
    assert live.get(f"{path}/steps/greet/log", token=token)["content"] == "Hello Ada"
    assert live.get(f"{path}/outputs", token=token)["outputs"] == {"greeting": "Hello Ada"}

    live.post(f"{path}/retry", {"dagRunId": "failed"}, token=token)
    live.until("hello", "failed", 4, token=token)
    assert live.get(f"{path}/steps/after/log", token=token)["content"] == "after Hello Ada"
    assert live.get(f"{path}/steps/greet/log", token=token)["content"] == "Hello Ada", "it has not run again"


def test_a_waiting_run_can_be_approved(live: Live) -> None:
    token = admin(live)
    live.post("/dag-runs/asks/waits/steps/ask/approve", {"inputs": {}}, token=token)

    live.until("asks", "waits", 4, token=token)


def test_a_queued_run_runs(live: Live) -> None:
    token = admin(live)
    live.until("hello", "queued", 4, token=token)

    assert live.get("/dag-runs/hello/queued/outputs", token=token)["outputs"] == {"greeting": "Hello Bob"}


def test_passwords_keys_and_tokens_stay_valid(live: Live) -> None:
    assert live.refused("POST", "/auth/login", {"username": "ann", "password": "wrong horse"}) == (401, "unauthorized")
    for _ in range(2):
        assert len(live.get("/dags", token=KEY)["dags"]) == 2
    assert live.refused("GET", "/dags", token=f"{KEY}x") == (401, "unauthorized")
    assert live.refused("GET", "/users", token=KEY) == (403, "forbidden")
    run_id = live.post("/webhooks/hello", {}, token=TOKEN)["dagRunId"]
    assert live.refused("POST", "/webhooks/hello", {}, token=f"{TOKEN}x") == (401, "unauthorized")
    live.until("hello", run_id, 4, token=KEY)


def test_a_new_password_is_hashed_as_all_are_here(live: Live) -> None:
    token = admin(live)
    new = {"currentPassword": PASSWORD, "newPassword": "another horse battery"}
    live.post("/auth/change-password", new, token=token)
    again = live.post("/auth/login", {"username": "ann", "password": new["newPassword"]})["token"]

    stored = live.reads.user_named("ann")
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$")
    live.post("/auth/change-password", {"currentPassword": new["newPassword"], "newPassword": PASSWORD}, token=again)
