"""Operations on a run that waits for approval.

Approving and rejecting itself: ``test_rest_approvals``.
"""

from typing import Any

from services.api.caches.run_totals import RunTotals
from shared.status import RunStatus
from tests.conformance.rest_live import Live
from tests.harness.eventually import eventually

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


def node(run: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in run["nodes"] if each["step"]["name"] == name]
    return dict(found)


def test_a_waiting_run_has_no_process_and_resumes_once_when_approved(live: Live) -> None:
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

    assert live.refused("POST", f"{path}/approve", {"inputs": {"OTHER": "x"}}) == (400, "bad_request")
    key = {"Idempotency-Key": "approve-ship"}
    body = {"inputs": {"THE_REASON": "it is Friday"}}
    approved = live.post(f"{path}/approve", body, headers=key)
    assert approved == {"dagRunId": "r", "stepName": "ok?", "resumed": True}
    assert live.post(f"{path}/approve", body, headers=key) == approved
    assert live.refused("POST", f"{path}/approve", {}, headers=key) == (409, "already_exists")

    live.until("ship", "r", 4)
    assert live.get("/dag-runs/ship/r/steps/then/log")["content"] == "it is Friday"
    assert live.post(f"{path}/approve", body, headers=key) == approved


def test_the_last_approval_resumes_the_run_under_its_id(live: Live) -> None:
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


def test_metrics_give_a_waiting_run_no_duration_and_no_queue_time(live: Live) -> None:
    totals = RunTotals(kept_s=0)
    totals.get(live.reads)
    live.dag("timed", ASKS)
    live.start("timed", dagRunId="r")
    live.until("timed", "r", 7)
    for counted in (totals, RunTotals()):
        runs, durations, waits = counted.get(live.reads)
        assert (runs["timed", RunStatus.WAITING], "timed" in durations, "timed" in waits) == (1, False, False)

    live.post("/dag-runs/timed/r/steps/ok%3F/approve", {"inputs": {"THE_REASON": "x"}})
    live.until("timed", "r", 4)
    for counted in (totals, RunTotals()):
        runs, durations, waits = counted.get(live.reads)
        assert (runs.get(("timed", RunStatus.WAITING), 0), runs["timed", RunStatus.SUCCEEDED]) == (0, 1)
        assert (durations["timed"][0][-1], "timed" in waits) == (1, False)


def test_a_running_run_in_which_nothing_runs_says_what_it_waits_for(live: Live) -> None:
    locked = "steps:\n  - name: s\n    lock: press\n    command: sleep 300\n"
    live.dag("holds", locked)
    live.dag("lacks", "workerSelector: {gpu: big}\nsteps: [{name: s, command: echo hi}]\n")
    live.dag("calls", "steps: [{name: up, call: below}]\n---\nname: below\n" + locked)
    live.dag("fails", "steps: [{name: s, command: exit 3}]\n")
    live.start("holds", dagRunId="first")
    eventually(lambda: live.run("holds", "first")["nodes"][0]["status"] == 1)
    for name in ("holds", "calls", "lacks", "fails"):
        live.start(name, dagRunId="r")
    live.until("fails", "r", 2)
    lock = "lock press, held by holds/first (s)"
    expected = {
        "holds": f"step s: {lock}",
        "calls": f"step s of below: {lock}",
        "lacks": "step s: no live worker with labels gpu=big",
    }

    def waits(name: str) -> str:
        found = live.get(f"/dag-runs/{name}?dagRunId=r")["dagRuns"][0]
        assert found["statusLabel"] == "running"
        return str(found.get("waitingFor", ""))

    eventually(lambda: {name: waits(name) for name in expected} == expected)
    assert {name: live.run(name, "r")["waitingFor"] for name in expected} == expected
    dags = {each["fileName"]: each["latestDAGRun"] for each in live.get("/dags")["dags"]}
    assert dags["lacks.yaml"]["waitingFor"] == expected["lacks"]
    (queue,) = [each for each in live.get("/queues")["queues"] if each["name"] == "lacks"]
    assert queue["running"][0]["waitingFor"] == expected["lacks"]
    assert "waitingFor" not in live.run("holds", "first")

    # The overview has the same in one response, and what failed and what waits for a person.
    seen = live.get("/overview")
    running = {(each["name"], each["dagRunId"]): each.get("waitingFor", "") for each in seen["running"]}
    assert {name: running[name, "r"] for name in expected} == expected
    assert running["holds", "first"] == ""
    assert seen["counts"]["running"] == len(seen["running"])
    assert {each["name"]: each.get("failedStep") for each in seen["failed"]}["fails"] == "s"
    assert seen["counts"]["failed"] >= 1
    assert seen["counts"]["schedulers"] == len(live.get("/services/scheduler")["schedulers"]) == 1
    assert [(each["id"], each["live"], each["slots"]) for each in seen["workers"]] == [("w1", True, 20)]
    asked = {(each["name"], each["stepName"]) for each in seen["approvals"]}
    live.dag("gate", "type: graph\nsteps:\n  - {name: sign off, type: hitl}\n  - {name: busy, command: sleep 300}\n")
    live.start("gate", dagRunId="r")
    gate = {"name": "gate", "dagRunId": "r", "dagName": "gate", "stepName": "sign off"}
    eventually(lambda: gate in [{name: each[name] for name in gate} for each in live.get("/approvals")["approvals"]])
    assert asked | {("gate", "sign off")} == {
        (each["name"], each["stepName"]) for each in live.get("/overview")["approvals"]
    }
    bars = {(each["name"], each["dagRunId"]): each for each in live.get("/overview/timeline?hours=1")["runs"]}
    assert bars["fails", "r"]["statusLabel"] == "failed"
    assert bars["fails", "r"]["startedAt"] <= bars["fails", "r"]["finishedAt"]
    assert "finishedAt" not in bars["holds", "first"]
    assert not live.get("/overview/timeline")["more"]
    cut = live.get("/overview/timeline?limit=1")
    assert (len(cut["runs"]), cut["more"]) == (1, True)
    assert live.refused("GET", "/overview/timeline?hours=25") == (400, "bad_request")


def test_the_overview_names_the_step_that_made_a_run_fail(live: Live) -> None:
    specs = {
        "after-tolerated": """
type: graph
steps:
  - {name: may fail, command: exit 1, continueOn: {failure: true}}
  - {name: may exit with 3, command: exit 3, continueOn: {exitCode: [3]}}
  - {name: must work, command: exit 1, depends: [may fail, may exit with 3]}
""",
        "handler-only": "steps: [{name: s, command: 'true'}]\nhandlerOn: {exit: {name: tidy, command: exit 1}}\n",
        "none-succeeded": "steps: [{name: only, command: exit 1, continueOn: {failure: true}}]\n",
    }
    for name, spec in specs.items():
        live.dag(name, spec)
        live.start(name, dagRunId="r")
    for name in specs:
        live.until(name, "r", 2)

    def named() -> None:
        failed = live.get("/overview")["failed"]
        found = {each["name"]: each.get("failedStep", "") for each in failed if each["name"] in specs}
        assert found == expected

    expected = {"after-tolerated": "must work", "handler-only": "onExit", "none-succeeded": "only"}
    eventually(named)
