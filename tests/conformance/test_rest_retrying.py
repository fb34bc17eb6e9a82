"""Retries in the same run and as new runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.rest_live import Live
from tests.harness.eventually import eventually

ASKS = """\
steps:
  - name: first
    command: echo once
  - name: ok
    type: hitl
"""
FAILS = """\
steps:
  - name: kid
    call: kid
  - id: says
    command: echo said
  - name: reads
    command: cat "${says.stdout}"
  - name: bad
    command: test -n "$(cat "${says.stdout}")" && false
---
name: kid
steps:
  - echo deep
"""


def statuses(run: dict[str, Any]) -> list[int]:
    return [node["status"] for node in run["nodes"]]


def test_a_waiting_run_can_be_retried(live: Live) -> None:
    live.dag("asks", ASKS)
    live.start("asks", dagRunId="r")
    live.until("asks", "r", 7)

    live.post("/dag-runs/asks/r/retry", {"dagRunId": "s"})

    assert statuses(live.until("asks", "s", 7)) == [4, 7]
    assert live.post("/dag-runs/asks/s/steps/ok/approve")["resumed"]
    live.until("asks", "s", 4)
    assert live.run("asks", "r")["status"] == 7


def test_steps_taken_over_by_a_new_run_have_no_log_and_no_sub_runs(live: Live) -> None:
    live.dag("fails", FAILS)
    live.start("fails", dagRunId="r")
    old = live.until("fails", "r", 2)
    assert [bool(node["stdout"]) for node in old["nodes"]] == [True] * 4
    assert len(live.get("/dag-runs/fails/r/sub-dag-runs")["subRuns"]) == 1

    live.post("/dag-runs/fails/r/retry", {"dagRunId": "s"})

    new = live.until("fails", "s", 2)
    assert statuses(new) == [4, 4, 4, 2]
    assert [(bool(node["stdout"]), bool(node["stderr"])) for node in new["nodes"]] == [(False, False)] * 3 + [
        (True, True)
    ]
    assert [node["subRuns"] for node in new["nodes"]] == [[]] * 4
    assert live.get("/dag-runs/fails/s/sub-dag-runs")["subRuns"] == []


def test_one_step_is_run_alone_by_a_new_run_too(live: Live) -> None:
    live.dag("alone", FAILS)
    live.start("alone", dagRunId="r")
    live.until("alone", "r", 2)
    path = "/dag-runs/alone/r/retry"
    assert live.refused("POST", path, {"dagRunId": "s", "stepName": "zz"}) == (404, "not_found")
    assert live.refused("GET", "/dag-runs/alone/s") == (404, "not_found")

    live.post(path, {"dagRunId": "s", "stepName": "reads"})

    new = live.until("alone", "s", 4)
    assert statuses(new) == [4, 4, 4, 0]
    # It reads what another run's step wrote.
    assert [bool(node["stdout"]) for node in new["nodes"]] == [False, False, True, False]
    assert live.get("/dag-runs/alone/s/steps/reads/log")["content"] == "said"


# -- what env and params came to -------------------------------------------------------------------

ONCE = """\
env: ["E=`date +%s%N`"]
params: "D=`date +%s%N`"
{more}steps:
  - name: s
    command: echo "$D $E"
    output: SAID
"""


def said(live: Live, name: str, run_id: str) -> tuple[str, str]:
    """Wait until a run has succeeded; return its parameters and what its step printed of them."""
    params = live.until(name, run_id, 4)["params"]
    return params, live.get(f"/dag-runs/{name}/{run_id}/outputs")["outputs"]["said"]


@pytest.mark.parametrize("more", ["", "preconditions: ['test -n \"$D\"']\n"], ids=["plain", "judged"])
def test_a_rescheduled_run_has_the_definition_and_the_values_of_the_one_before(live: Live, more: str) -> None:
    name = "judged-once" if more else "once"
    live.dag(name, ONCE.format(more=more))
    live.start(name, dagRunId="r")
    first = said(live, name, "r")
    assert first[0].removeprefix("D=") == first[1].split()[0]
    assert live.ask("PUT", f"/dags/{name}/spec", {"spec": "params: D=new\nsteps:\n  - echo new\n"}).status_code == 200

    again = live.post(f"/dag-runs/{name}/r/reschedule")["dagRunId"]
    assert said(live, name, again) == first
    once_more = live.post(f"/dag-runs/{name}/{again}/reschedule", {"dagName": f"{name}-2"})["dagRunId"]
    assert said(live, f"{name}-2", once_more) == first


def test_a_retry_after_an_unmet_precondition_checks_it_again_and_evaluates_nothing(live: Live, tmp_path: Path) -> None:
    live.dag("unmet", ONCE.format(more=f"preconditions: ['test -e {tmp_path}/met']\n"))
    live.start("unmet", dagRunId="r")
    first = live.until("unmet", "r", 3)["params"]
    assert first.removeprefix("D=").isdigit()
    live.post("/dag-runs/unmet/r/retry", {"dagRunId": "r"})
    eventually(lambda: live.run("unmet", "r")["status"] == 3)

    (tmp_path / "met").touch()
    live.post("/dag-runs/unmet/r/retry", {"dagRunId": "s"})
    live.post("/dag-runs/unmet/r/retry", {"dagRunId": "r"})

    assert said(live, "unmet", "s")[0] == first
    assert said(live, "unmet", "r") == said(live, "unmet", "s")


def test_a_new_run_from_old_results_evaluates_nothing_again(live: Live) -> None:
    live.dag("mixed", ONCE.format(more="") + '  - name: bad\n    command: test -e "$DAG_RUN_ID"\n')
    live.start("mixed", dagRunId="r")
    first = live.until("mixed", "r", 2)["params"]
    live.post("/dag-runs/mixed/r/retry", {"dagRunId": "s"})

    assert live.until("mixed", "s", 2)["params"] == first


def test_every_attempt_is_kept(live: Live, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    live.dag(
        "kept",
        "steps:\n  - name: flaky\n    retryPolicy: {limit: 1, intervalSec: 0}\n"
        f"    command: echo x >> {tries}; echo try $(wc -l < {tries}); test $(wc -l < {tries}) -ge 4\n"
        "  - echo after\n",
    )
    live.start("kept", dagRunId="r")
    first = live.until("kept", "r", 2)
    assert "firstStartedAt" not in first
    live.post("/dag-runs/kept/r/retry", {"dagRunId": "r"})
    run = live.until("kept", "r", 4)

    found = live.get("/dag-runs/kept/r/attempts")["attempts"]
    flaky = [each for each in found if each["stepName"] == "flaky"]
    assert [(each["number"], each["runAttempt"], each["status"], each["exitCode"]) for each in flaky] == [
        (1, 1, "failed", 1),
        (2, 1, "failed", 1),
        (3, 2, "failed", 1),
        (4, 2, "succeeded", 0),
    ]
    assert all(each["workerId"] == "w1" and each["startedAt"] <= each["finishedAt"] for each in flaky)
    assert [each.get("reason", "") for each in flaky] == ['failed to execute step "flaky": exit status 1'] * 3 + [""]
    assert found[4:] == live.get(f"/dag-runs/kept/r/attempts?stepName={found[4]['stepName']}")["attempts"]
    logs = [live.get(f"/dag-runs/kept/r/steps/flaky/log?attempt={n}")["content"] for n in range(1, 5)]
    assert logs == ["try 1", "try 2", "try 3", "try 4"]
    assert live.get("/dag-runs/kept/r/steps/flaky/log?attempt=2&tail=1")["totalLines"] == 1
    assert live.refused("GET", "/dag-runs/kept/r/steps/flaky/log?attempt=5") == (404, "not_found")
    assert live.refused("GET", "/dag-runs/kept/r/attempts?stepName=none") == (404, "not_found")
    assert (run["firstStartedAt"], run["runAttempt"]) == (first["startedAt"], 2)
    assert run["durationMs"] > 0

    assert [node.get("attemptCount", 1) for node in run["nodes"]] == [4, 1]

    # The start is that of the first attempt, however many follow.
    live.post("/dag-runs/kept/r/retry", {"dagRunId": "r", "stepName": "flaky"})
    eventually(lambda: live.run("kept", "r")["runAttempt"] == 3 and live.run("kept", "r")["status"] == 4)
    assert live.run("kept", "r")["firstStartedAt"] == first["startedAt"]
    assert len(live.get("/dag-runs/kept/r/attempts?stepName=flaky")["attempts"]) == 5


def test_attempts_can_be_read_in_pages(live: Live) -> None:
    policy = "{repeat: while, condition: 'true', intervalSec: 0, limit: 5}"
    step = f"{{name: again, command: 'true', repeatPolicy: {policy}}}"
    live.dag("paged", f"steps:\n  - {step}\n  - {{name: b, command: exit 1}}\n")
    live.start("paged", dagRunId="r")
    live.until("paged", "r", 2)
    every = live.get("/dag-runs/paged/r/attempts")["attempts"]
    assert [(each["stepName"], each["number"]) for each in every] == [*(("again", n) for n in range(1, 6)), ("b", 1)]

    assert live.get("/dag-runs/paged/r/attempts?limit=2") == {"attempts": every[3:]}
    pages: list[Any] = []
    cursor: Any = ""
    while cursor is not None:
        page = live.get(f"/dag-runs/paged/r/attempts?stepName=again&limit=2&cursor={cursor}")
        pages.append(page["attempts"])
        cursor = page["nextCursor"]
    assert pages == [every[3:5], every[1:3], every[:1]]
    for wrong in ("stepName=again&cursor=x", "limit=2&cursor=x", "stepName=again&limit=2&cursor=x", "limit=0"):
        assert live.refused("GET", f"/dag-runs/paged/r/attempts?{wrong}")[0] == 400, wrong


def test_an_open_attempt_is_listed(live: Live, tmp_path: Path) -> None:
    live.dag("open", f"steps:\n  - name: s\n    command: until test -e {tmp_path}/go; do sleep 0.05; done\n")
    live.start("open", dagRunId="r")

    def listed() -> dict[str, Any]:
        found = live.get("/dag-runs/open/r/attempts")["attempts"]
        assert [each["status"] for each in found] == ["running"]
        assert live.get("/dag-runs/open/r/attempts?stepName=s&limit=1")["attempts"][0]["number"] == 1
        return dict(found[0])

    found = eventually(listed)
    assert found["startedAt"]
    assert "finishedAt" not in found
    (tmp_path / "go").touch()
    live.until("open", "r", 4)
