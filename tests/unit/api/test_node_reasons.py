"""What a step waits for that no worker has taken."""

from datetime import UTC, datetime

import pytest

from services.api.run_details.node_reasons import node_reason
from shared.language.model import Dag
from shared.store.reads.reader import NodeState, RunningWorker

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GPU = {"gpu": "yes"}
LIVE, DRAINING = RunningWorker(GPU), RunningWorker(GPU, draining=True)


@pytest.mark.parametrize(
    ("selector", "workers", "reason"),
    [
        ({}, {}, "no live worker"),
        (GPU, {}, "no live worker with labels gpu=yes"),
        (GPU, {"w1": RunningWorker({})}, "no live worker with labels gpu=yes"),
        (GPU, {"w1": LIVE, "w2": DRAINING}, "a worker with a free slot"),
        (GPU, {"w1": RunningWorker({}), "w2": DRAINING}, "a worker that takes new runs: w2 is draining"),
        ({}, {"w2": DRAINING, "w1": DRAINING}, "a worker that takes new runs: w1, w2 are draining"),
    ],
)
def test_a_draining_worker_is_no_capacity(
    selector: dict[str, str], workers: dict[str, RunningWorker], reason: str
) -> None:
    state = NodeState("s", waits=(), retry_at=None, dispatched=True, worker_id=None)

    assert node_reason(Dag(name="a", worker_selector=selector), state, {}, workers, NOW) == reason


class _Asked(dict[str, str]):
    """The labels of a worker. Counts how often it is asked for them."""

    times = 0

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        type(self).times += 1
        return super().get(key, default)


def test_the_search_for_a_worker_ends_with_the_first_that_fits() -> None:
    state = NodeState("s", waits=(), retry_at=None, dispatched=True, worker_id=None)
    workers = {f"w{n}": RunningWorker(_Asked()) for n in range(500)}

    assert node_reason(Dag(name="a"), state, {}, workers, NOW) == "a worker with a free slot"
    assert _Asked.times == 1


def test_a_step_of_a_run_on_a_draining_worker_waits_for_that_worker() -> None:
    state = NodeState("s", waits=(), retry_at=None, dispatched=True, worker_id="w1")

    assert node_reason(Dag(name="a"), state, {}, {"w1": DRAINING}, NOW) == "worker w1"
    assert node_reason(Dag(name="a"), state, {}, {}, NOW) == "worker w1, which is not live"
