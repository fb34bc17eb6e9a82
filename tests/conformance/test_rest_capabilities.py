"""A step that no worker has the program for, or that cannot run as it is written, does not keep others from running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.rest_live import Live
from tests.harness.counterparts import fake_act
from tests.harness.eventually import eventually

ACTION = "steps:\n  - name: greet\n    type: gha\n    command: actions/hello-world-javascript-action@v1\n"
BESIDE = """\
type: graph
steps:
  - {name: before, command: echo before}
  - {name: ask, type: http}
  - {name: greet, type: gha, command: actions/hello-world-javascript-action@v1}
  - {name: after, command: echo after, depends: before}
"""
OWN_PATH = "env:\n  - PATH: /nowhere\n" + ACTION
WHY = 'step "greet": type: no live worker can run gha steps, which need the program act on the worker'


@pytest.fixture(autouse=True, scope="module")
def _worker_looks_at_each_heartbeat() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.worker.executors.capabilities._LOOK_EVERY_S", 0)
        yield


def test_a_step_that_no_live_worker_can_do_fails_when_it_is_its_turn(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def able() -> list[str]:
        return [name for worker in live.get("/workers")["workers"] for name in worker["executors"]]

    eventually(lambda: "command" in able())
    assert "gha" not in able()
    live.dag("actions", BESIDE)

    judged = live.post("/dags/validate", {"spec": BESIDE})
    assert (judged["valid"], [error[: len(WHY)] for error in judged["errors"]]) == (True, [WHY])
    run = live.until("actions", live.start("actions"), 2)
    nodes = {node["step"]["name"]: (node["statusLabel"], node.get("error", "")) for node in run["nodes"]}
    assert nodes["before"][0] == nodes["after"][0] == "succeeded"
    assert nodes["greet"][0] == nodes["ask"][0] == "failed"
    assert "the program act" in nodes["greet"][1]
    assert "METHOD URL" in nodes["ask"][1]
    # Only the worker knows what a PATH of the dag's own holds.
    assert live.post("/dags/validate", {"spec": OWN_PATH})["errors"] == []

    monkeypatch.setenv("PATH", fake_act(tmp_path, "echo acted"))
    eventually(lambda: "gha" in able())
    assert live.post("/dags/validate", {"spec": ACTION})["errors"] == []
    live.dag("able", ACTION)
    live.until("able", live.start("able"), 4)
