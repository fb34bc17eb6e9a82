"""Operations on a run that waits for approval. REST contract sections 5.8, 9 (8, 47, 50) and 11.

Approving and rejecting itself: ``test_rest_approvals``.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from services.api.caches.run_totals import RunTotals
from shared.status import RunStatus
from tests.conformance.conftest import Footing
from tests.conformance.rest_live import Live, open_live

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


@pytest.fixture(scope="module")
def live(footing: Footing) -> Iterator[Live]:
    with open_live(footing) as opened:
        yield opened


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
