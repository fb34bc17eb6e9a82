"""A spec with a type of step that no live worker has the capability for is refused before a run is created."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import Footing
from tests.conformance.rest_live import Live, open_live
from tests.harness.counterparts import fake_act
from tests.harness.eventually import eventually

ACTION = "steps:\n  - name: greet\n    type: gha\n    command: actions/hello-world-javascript-action@v1\n"
OWN_PATH = "env:\n  - PATH: /nowhere\n" + ACTION
WHY = 'step "greet": type: no live worker can run gha steps, which need the program act on the worker'


@pytest.fixture(scope="module")
def live(footing: Footing) -> Iterator[Live]:
    with open_live(footing) as opened:
        yield opened


def test_a_step_that_no_live_worker_can_do_is_an_error_until_one_can(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def able() -> list[str]:
        return [name for worker in live.get("/workers")["workers"] for name in worker["executors"]]

    eventually(lambda: "command" in able())
    assert "gha" not in able()
    live.dag("actions", ACTION)

    judged = live.post("/dags/validate", {"spec": ACTION})
    assert (judged["valid"], [error[: len(WHY)] for error in judged["errors"]]) == (False, [WHY])
    for path, body in (
        ("/dags/actions/start", {}),
        ("/dags/actions/enqueue", {}),
        ("/dag-runs", {"spec": ACTION, "name": "inline"}),
    ):
        answer = live.ask("POST", path, body)
        assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
        assert WHY in answer.get_json()["message"]
    assert live.get("/dag-runs")["dagRuns"] == []
    # Only the worker knows what a PATH of the dag's own holds.
    assert live.post("/dags/validate", {"spec": OWN_PATH})["valid"]

    monkeypatch.setenv("PATH", fake_act(tmp_path, "echo acted"))
    eventually(lambda: "gha" in able())
    assert live.post("/dags/validate", {"spec": ACTION})["valid"]
    live.until("actions", live.start("actions"), 4)
