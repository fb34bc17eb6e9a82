"""Approving and rejecting steps, in runs and in their sub-runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.api.response_schemas.runs import NodeSchema
from services.api.settings import Settings
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import Live, open_live
from tests.harness.eventually import eventually

GATED = """\
params: PLACE=moon
handlerOn:
  wait:
    command: echo "$DAG_WAITING_STEPS"
  exit:
    command: echo bye
steps:
  - name: pull
    command: echo pulled
  - name: ok?
    type: hitl
    config: {prompt: "Ship to ${PLACE}?", input: [REASON, approver_name], required: [REASON]}
  - name: ship
    command: echo "${REASON} by ${approver_name}"
    output: SHIPPED
"""
LEVELS = """\
steps:
  - name: above
    call: middle
    output: ABOVE
  - name: after
    command: echo "${ABOVE.status}"
---
name: middle
steps:
  - name: between
    call: asking
---
name: asking
steps:
  - name: first
    type: hitl
    config: {input: [WHO]}
  - name: second
    type: hitl
  - name: said
    command: echo "${WHO}"
    output: SAID
"""
PARALLEL = """\
steps:
  - name: each
    call: asking
    parallel: {items: [a, b], maxConcurrent: 1}
---
name: asking
steps:
  - name: ok
    type: hitl
"""


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment) as opened:
        for name, spec in (("gated", GATED), ("levels", LEVELS), ("many", PARALLEL)):
            opened.dag(name, spec)
        yield opened


def step(details: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [node for node in details["nodes"] if node["step"]["name"] == name]
    return dict(found)


def below(live: Live, run: str, dag: str, count: int = 1) -> list[str]:
    """Wait until there are ``count`` sub-runs of a DAG below a run, at any depth; return their ids."""

    def there() -> list[str]:
        found = []
        todo = [""]
        while todo:
            parent = todo.pop()
            query = f"?parentSubDAGRunId={parent}" if parent else ""
            for each in live.get(f"/dag-runs/{run}/sub-dag-runs{query}")["subRuns"]:
                todo.append(each["dagRunId"])
                found += [each["dagRunId"]] * (each["name"] == dag)
        assert len(found) == count
        return found

    return eventually(there)


def sub_until(live: Live, run: str, sub_run: str, status: int, waiting: str = "") -> dict[str, Any]:
    def there() -> dict[str, Any]:
        found: dict[str, Any] = live.get(f"/dag-runs/{run}/sub-dag-runs/{sub_run}")["dagRunDetails"]
        assert found["status"] == status, found
        assert not waiting or step(found, waiting)["status"] == 7
        return found

    return eventually(there)


def test_an_approval_resumes_the_run(live: Live) -> None:
    run_id = live.start("gated")
    path = f"/dag-runs/gated/{run_id}"
    found = live.until("gated", run_id, 7)
    assert (found["statusLabel"], bool(found["finishedAt"])) == ("waiting", True)
    asked = step(found, "ok?")
    assert (asked["status"], asked["statusLabel"], asked["doneCount"], asked["finishedAt"]) == (7, "waiting", 0, "")
    assert asked["step"]["executorConfig"]["config"]["required"] == ["REASON"]
    assert not {"approvedAt", "rejectedAt"} & asked.keys()
    assert step(found, "ship")["status"] == 0
    assert (found["onExit"]["status"], found["onExit"]["startedAt"]) == (0, "")
    log = live.get(f"{path}/steps/ok%3F/log")["content"]
    assert log == (
        "Waiting for approval of step ok?.\nQuestion: Ship to moon?\nInputs: REASON (required), approver_name"
    )
    assert live.get(f"{path}/steps/onWait/log")["content"] == "ok?"

    response = live.ask("POST", f"{path}/steps/ok%3F/approve")
    assert (response.status_code, response.get_json()["message"]) == (400, "missing required inputs: [REASON]")
    body = {"inputs": {"REASON": "fine", "approver_name": "Ann"}, "unknown": 1}
    answer = live.post(f"{path}/steps/ok%3F/approve", body)
    assert answer == {"dagRunId": run_id, "stepName": "ok?", "resumed": True}

    found = live.until("gated", run_id, 4)
    approved = step(found, "ok?")
    assert approved["approvalInputs"] == {"reason": "fine", "approverName": "Ann"}
    assert approved["approvedAt"]
    assert "approvedBy" not in approved
    assert approved.keys() <= NodeSchema.model_fields.keys()
    assert (approved["status"], approved["doneCount"]) == (4, 1)
    assert live.get(f"{path}/outputs")["outputs"] == {"shipped": "fine by Ann"}
    assert live.get(f"{path}/steps/pull/log")["content"] == "pulled"
    assert found["onExit"]["status"] == 4
    assert live.refused("POST", f"{path}/steps/ok%3F/approve", body) == (400, "bad_request")


def test_a_rejection_ends_the_run_and_a_retry_asks_again(live: Live) -> None:
    run_id = live.start("gated")
    path = f"/dag-runs/gated/{run_id}"
    live.until("gated", run_id, 7)
    answer = live.post(f"{path}/steps/ok%3F/reject", {"reason": "not today"})
    assert answer == {"dagRunId": run_id, "stepName": "ok?"}

    found = live.run("gated", run_id)
    rejected = step(found, "ok?")
    assert (found["status"], found["statusLabel"], bool(found["finishedAt"])) == (8, "rejected", True)
    assert (rejected["status"], rejected["rejectionReason"], bool(rejected["rejectedAt"])) == (8, "not today", True)
    assert rejected.keys() <= NodeSchema.model_fields.keys()
    assert step(found, "ship")["status"] == 0
    assert found["onExit"]["status"] == 0
    for word in ("approve", "reject"):
        assert live.refused("POST", f"{path}/steps/ok%3F/{word}", {}) == (400, "bad_request")

    live.post(f"{path}/retry", {"dagRunId": run_id})
    again = live.until("gated", run_id, 7)
    assert not {"rejectedAt", "rejectedBy", "rejectionReason"} & step(again, "ok?").keys()
    live.post(f"{path}/steps/ok%3F/approve", {"inputs": {"REASON": ""}})
    live.until("gated", run_id, 4)


def test_an_approval_names_its_user_where_users_log_in(live: Live) -> None:
    basic = Settings(basic_username="ann", basic_password="secret")
    run_id = live.start("gated")
    live.until("gated", run_id, 7)
    path = f"/dag-runs/gated/{run_id}"
    known = live.app_with(basic)
    headers = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert known.refused("POST", f"{path}/steps/ok%3F/reject") == (401, "unauthorized")
    response = known.ask("POST", f"{path}/steps/ok%3F/reject", {"reason": "no"}, headers=headers)

    assert response.status_code == 200
    assert step(live.run("gated", run_id), "ok?")["rejectedBy"] == "ann"
    assert "(by ann)" in live.get(f"{path}/log")["content"]


def test_an_approval_two_levels_below_resumes_all_runs_above(live: Live) -> None:
    run_id = live.start("levels")
    run = f"levels/{run_id}"
    (asking,) = below(live, run, "asking")
    path = f"/dag-runs/{run}/sub-dag-runs/{asking}/steps"
    root = live.until("levels", run_id, 7)
    assert step(root, "above")["status"] == 7
    (middle,) = below(live, run, "middle")
    assert step(sub_until(live, run, middle, 7), "between")["status"] == 7
    assert live.refused("POST", f"/dag-runs/{run}/steps/above/approve") == (400, "bad_request")
    assert live.refused("POST", f"{path}/first/approve", {"inputs": {"NOBODY": ""}}) == (400, "bad_request")

    answer = live.post(f"{path}/first/approve", {"inputs": {"WHO": "Ann"}})
    assert answer == {"dagRunId": asking, "stepName": "first", "resumed": True}
    sub_until(live, run, asking, 7, waiting="second")
    live.until("levels", run_id, 7)
    live.post(f"{path}/second/approve")

    live.until("levels", run_id, 4)
    found = sub_until(live, run, asking, 4)
    assert step(found, "first")["approvalInputs"] == {"who": "Ann"}
    assert live.get(f"/dag-runs/{run}/steps/after/log")["content"] == "succeeded"


def test_a_rejection_below_fails_the_step_that_called(live: Live) -> None:
    run_id = live.start("levels")
    run = f"levels/{run_id}"
    (asking,) = below(live, run, "asking")
    live.until("levels", run_id, 7)
    answer = live.post(f"/dag-runs/{run}/sub-dag-runs/{asking}/steps/first/reject", {"reason": "no"})
    assert answer == {"dagRunId": asking, "stepName": "first"}

    found = live.until("levels", run_id, 2)
    assert sub_until(live, run, asking, 8)["statusLabel"] == "rejected"
    assert "failed with status: failed" in step(found, "above")["error"]


def test_all_of_parallel_runs_wait_and_each_needs_its_approval(live: Live) -> None:
    run_id = live.start("many")
    run = f"many/{run_id}"
    first, second = below(live, run, "asking", 2)
    live.until("many", run_id, 7)
    # What each run was called with tells them apart.
    waiting = [each for each in live.get("/approvals")["approvals"] if each["dagRunId"] == run_id]
    assert {each["subDAGRunId"]: each["params"] for each in waiting} == {
        each["dagRunId"]: each["params"] for each in live.get(f"/dag-runs/{run}/sub-dag-runs")["subRuns"]
    }
    assert {each["params"] for each in waiting} == {"a", "b"}
    live.post(f"/dag-runs/{run}/sub-dag-runs/{first}/steps/ok/approve")
    sub_until(live, run, first, 4)
    assert step(live.until("many", run_id, 7), "each")["status"] == 7
    live.post(f"/dag-runs/{run}/sub-dag-runs/{second}/steps/ok/approve")

    live.until("many", run_id, 4)


def test_one_rejection_among_parallel_runs_ends_the_wait_of_the_others(live: Live) -> None:
    run_id = live.start("many")
    run = f"many/{run_id}"
    first, second = below(live, run, "asking", 2)
    live.until("many", run_id, 7)
    assert live.refused("POST", f"/dag-runs/{run}/stop") == (400, "not_running")
    live.post(f"/dag-runs/{run}/sub-dag-runs/{first}/steps/ok/reject")

    found = live.until("many", run_id, 2)
    assert step(found, "each")["error"] == "parallel execution failed: 1 sub dag(s) failed"
    sub_until(live, run, second, 3)
    path = f"/dag-runs/{run}/sub-dag-runs/{second}/steps/ok/approve"
    assert live.refused("POST", path) == (400, "bad_request")


def test_a_resumed_run_precedes_the_queued_runs(live: Live) -> None:
    live.dag("lane", "queue: lane\nmaxActiveRuns: 1\nsteps:\n  - {name: ok, type: hitl}\n")
    live.dag("load", "queue: lane\nmaxActiveRuns: 1\nsteps:\n  - {name: s, command: sleep 600}\n")
    gate = live.start("lane")
    live.until("lane", gate, 7)
    busy = live.post("/dags/load/enqueue")["dagRunId"]
    live.until("load", busy, 1)
    other = live.post("/dags/load/enqueue", {"priority": "high"})["dagRunId"]
    live.until("load", other, 5)

    assert live.post(f"/dag-runs/lane/{gate}/steps/ok/approve")["resumed"] is True
    assert live.run("lane", gate)["status"] == 5
    assert live.run("lane", gate)["finishedAt"] == ""
    live.post(f"/dag-runs/load/{busy}/stop")

    live.until("lane", gate, 4)
    live.until("load", other, 1)
    seen = [live.run("lane", gate)["startedAt"], live.run("load", other)["startedAt"]]
    assert seen == sorted(seen)
    live.post(f"/dag-runs/load/{other}/stop")


def test_a_step_set_to_waiting_by_hand_is_approved_in_a_run_that_is_over(live: Live, tmp_path: Path) -> None:
    live.dag("over", f"steps:\n  - name: a\n    command: echo a\n  - name: b\n    command: test -e {tmp_path}/there\n")
    run_id = live.start("over")
    path = f"/dag-runs/over/{run_id}/steps"
    live.until("over", run_id, 2)
    assert live.refused("POST", f"{path}/b/approve") == (400, "bad_request")
    for name in ("a", "b"):
        assert live.ask("PATCH", f"{path}/{name}/status", {"status": 7}).status_code == 200

    assert live.post(f"{path}/a/approve")["resumed"] is False
    live.post(f"{path}/b/reject", {"reason": "no"})
    found = live.run("over", run_id)
    assert (found["status"], step(found, "a")["status"], step(found, "b")["status"]) == (2, 4, 8)

    (tmp_path / "there").touch()
    assert live.ask("PATCH", f"{path}/a/status", {"status": 7}).status_code == 200
    assert live.post(f"{path}/a/approve")["resumed"] is True
    found = live.until("over", run_id, 4)
    assert (step(found, "a")["doneCount"], step(found, "b")["doneCount"]) == (3, 1)


def test_a_run_whose_question_was_closed_by_hand_says_how_it_goes_on(live: Live) -> None:
    live.dag("closed", "steps:\n  - name: ok\n    type: hitl\n  - name: after\n    command: echo after\n")
    run_id = live.start("closed")
    assert not live.until("closed", run_id, 7).get("waitingFor")
    path = f"/dag-runs/closed/{run_id}"
    assert "approve or reject it" in live.ask("POST", f"{path}/stop").json["message"]
    assert live.ask("PATCH", f"{path}/steps/ok/status", {"status": 4}).status_code == 200

    found = live.run("closed", run_id)
    assert (found["status"], found["waitingFor"][:8]) == (7, "a retry,")
    assert "waits for a retry" in live.ask("POST", f"{path}/stop").json["message"]
    live.post(f"{path}/retry", {"dagRunId": run_id})
    found = live.until("closed", run_id, 4)
    assert (step(found, "after")["status"], found.get("waitingFor", "")) == (4, "")
