"""A new run from an old one's results. REST contract sections 4, 5.8 and 11."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import Footing
from tests.conformance.rest_live import Live, open_live

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


@pytest.fixture(scope="module")
def live(footing: Footing) -> Iterator[Live]:
    with open_live(footing) as opened:
        yield opened


def statuses(run: dict[str, Any]) -> list[int]:
    return [node["status"] for node in run["nodes"]]


def test_a_run_that_waits_may_be_begun_anew(live: Live) -> None:
    live.dag("asks", ASKS)
    live.start("asks", dagRunId="r")
    live.until("asks", "r", 7)

    live.post("/dag-runs/asks/r/retry", {"dagRunId": "s"})

    assert statuses(live.until("asks", "s", 7)) == [4, 7]
    assert live.post("/dag-runs/asks/s/steps/ok/approve")["resumed"]
    live.until("asks", "s", 4)
    assert live.run("asks", "r")["status"] == 7


def test_what_was_taken_over_has_no_log_and_no_called_run(live: Live) -> None:
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
