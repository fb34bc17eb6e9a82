"""The black-box checks on steps that wait for a person. REST contract sections 5.8, 9 (47 to 50) and 13 (45 to 47)."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.api.settings import Settings
from tests.conformance.conftest import Footing
from tests.conformance.rest_live import SECRET, Live, open_live

ASKS = """\
type: graph
steps:
  - name: ok?
    type: hitl
    config: {prompt: ship it, input: [THE_REASON], required: [THE_REASON]}
  - name: then
    depends: ok?
    command: printenv THE_REASON
"""
TWICE = """\
type: graph
steps:
  - name: one
    type: hitl
  - name: two
    type: hitl
  - name: then
    depends: [one, two]
    command: sleep 300
"""
BELOW = "steps:\n  - name: calls\n    call: child\n---\nname: child\nsteps:\n  - name: ok?\n    type: hitl\n"


@pytest.fixture(scope="module")
def live(footing: Footing) -> Iterator[Live]:
    with open_live(footing) as opened:
        yield opened


def node(run: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in run["nodes"] if each["step"]["name"] == name]
    return dict(found)


def test_45_a_waiting_step_is_approved_with_what_it_needs(live: Live) -> None:
    live.dag("ship", ASKS)
    live.start("ship", dagRunId="r")
    waits = live.until("ship", "r", 7)
    path = "/dag-runs/ship/r/steps/ok%3F"
    assert (waits["statusLabel"], node(waits, "ok?")["status"], node(waits, "then")["status"]) == ("waiting", 7, 0)
    assert node(waits, "ok?")["step"]["executorConfig"]["type"] == "hitl"
    assert live.get("/dag-runs?status=7")["dagRuns"][0]["dagRunId"] == "r"
    # It has no process: it can be neither stopped nor dequeued, and is in no singleton's way.
    assert live.refused("POST", "/dag-runs/ship/r/stop") == (400, "not_running")
    assert live.refused("GET", "/dag-runs/ship/r/dequeue") == (400, "bad_request")
    other = live.start("ship", singleton=True)
    live.until("ship", other, 7)

    assert live.refused("POST", f"{path}/approve") == (400, "bad_request")
    assert live.refused("POST", f"{path}/approve", {"inputs": {"OTHER": "x"}}) == (400, "bad_request")
    key = {"Idempotency-Key": "approve-ship"}
    body = {"inputs": {"THE_REASON": "it is Friday"}}
    approved = live.post(f"{path}/approve", body, headers=key)
    assert approved == {"dagRunId": "r", "stepName": "ok?", "resumed": True}
    assert live.post(f"{path}/approve", body, headers=key) == approved
    assert live.refused("POST", f"{path}/approve", {}, headers=key) == (409, "already_exists")

    done = live.until("ship", "r", 4)
    step = node(done, "ok?")
    assert (step["status"], step["approvalInputs"]) == (4, {"theReason": "it is Friday"})
    assert step["approvedAt"]
    assert "approvedBy" not in step
    assert live.get("/dag-runs/ship/r/steps/then/log")["content"] == "it is Friday"
    assert live.refused("POST", f"{path}/approve", body) == (400, "bad_request")
    assert live.refused("POST", f"{path}/reject") == (400, "bad_request")


def test_45_the_last_approval_lets_the_run_go_on(live: Live) -> None:
    live.dag("twice", TWICE)
    live.start("twice", dagRunId="r")
    live.until("twice", "r", 7)

    first = live.post("/dag-runs/twice/r/steps/one/approve")
    assert first["resumed"] is False
    assert live.run("twice", "r")["status"] == 7
    assert live.post("/dag-runs/twice/r/steps/two/approve", {"inputs": {}})["resumed"] is True
    goes_on = live.until("twice", "r", 1)
    assert (goes_on["dagRunId"], goes_on["finishedAt"]) == ("r", "")
    live.post("/dag-runs/twice/r/stop")
    live.until("twice", "r", 3)


def test_46_a_rejected_step_ends_its_run(live: Live) -> None:
    users = live.app_with(Settings(auth_mode="builtin", token_secret=SECRET, admin_password="adminadmin"))
    token = users.post("/auth/login", {"username": "admin", "password": "adminadmin"})["token"]
    live.dag("no", ASKS)
    live.start("no", dagRunId="r")
    live.until("no", "r", 7)
    path = "/dag-runs/no/r/steps/ok%3F"

    rejected = users.post(f"{path}/reject", {"reason": "not on a Friday"}, token=token)

    assert rejected == {"dagRunId": "r", "stepName": "ok?"}
    run = live.until("no", "r", 8)
    step = node(run, "ok?")
    assert (run["statusLabel"], bool(run["finishedAt"]), node(run, "then")["status"]) == ("rejected", True, 0)
    assert (step["status"], step["rejectionReason"], step["rejectedBy"]) == (8, "not on a Friday", "admin")
    assert step["rejectedAt"]
    assert live.refused("POST", f"{path}/approve", {"inputs": {"THE_REASON": "x"}}) == (400, "bad_request")
    live.post("/dag-runs/no/r/retry", {"dagRunId": "r"})
    live.until("no", "r", 7)


def test_47_a_step_below_is_approved_under_its_root(live: Live) -> None:
    live.dag("below", BELOW)
    for run_id in ("yes", "no"):
        live.start("below", dagRunId=run_id)
        waits = live.until("below", run_id, 7)
        assert node(waits, "calls")["status"] == 7
        [child] = live.get(f"/dag-runs/below/{run_id}/sub-dag-runs")["subRuns"]
        assert child["status"] == 7
        path = f"/dag-runs/below/{run_id}/sub-dag-runs/{child['dagRunId']}"
        if run_id == "yes":
            approved = live.post(f"{path}/steps/ok%3F/approve")
            assert approved == {"dagRunId": child["dagRunId"], "stepName": "ok?", "resumed": True}
            live.until("below", "yes", 4)
        else:
            rejected = live.post(f"{path}/steps/ok%3F/reject", {"reason": "no"})
            assert rejected == {"dagRunId": child["dagRunId"], "stepName": "ok?"}
            assert live.get(path)["dagRunDetails"]["status"] == 8
            live.until("below", "no", 2)
