"""Pool places of attempts whose worker was lost; late reports and reports of other workers do not change them."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.core.messages import AttemptLost
from shared.contracts.events import AttemptFinished, AttemptStarted
from shared.store import tables as t
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

ALONE = "{name: work, command: a, lock: table, pool: gpu%s}"
TAKEN = Counter({("lock", "table"): 1, ("pool", "gpu"): 1})


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    return PoolRig(stack)


def begin(rig: PoolRig, retry: str = "") -> dict[str, Any]:
    """Start three runs that need the same places; a worker starts the first, whose node is returned."""
    rig.dag("a", ALONE % retry)
    for run_id in ("r1", "r2", "r3"):
        rig.start(run_id)
        rig.now += timedelta(seconds=1)
    assert rig.admit() == 1
    node = rig.nodes()["r1/work"]
    rig.report(AttemptStarted(**named(node), worker_id="w", incarnation="i", at=rig.now))
    return node


def named(node: dict[str, Any]) -> dict[str, Any]:
    return {"token": node["token"], "run_key": node["run_key"], "node": node["idx"]}


def ended(rig: PoolRig, node: dict[str, Any], worker_id: str) -> AttemptFinished:
    facts: dict[str, Any] = {"worker_id": worker_id, "incarnation": "i", "at": rig.now, "started_at": rig.now}
    return AttemptFinished(**named(node), outcome="succeeded", exit_code=0, **facts)


def lose(rig: PoolRig, node: dict[str, Any]) -> None:
    rig.transactor.notice([(node["run_key"], AttemptLost(node["idx"], node["token"], "worker w was lost"))])


@pytest.mark.parametrize("retried", [False, True])
def test_a_worker_lost_after_the_start_gives_back_its_places_and_a_retry_asks_behind_the_others(
    rig: PoolRig, retried: bool
) -> None:
    node = begin(rig, ", retryPolicy: {limit: 1, intervalSec: 0}" if retried else "")
    assert rig.taken() == TAKEN

    lose(rig, node)
    assert rig.taken() == Counter()
    rig.fire()
    assert rig.admit() == 1
    assert (rig.under_way(), rig.taken()) == (["r2/work"], TAKEN)
    assert rig.waiting() == (["r1/work", "r3/work"] if retried else ["r3/work"])

    finish_all(rig)
    assert rig.stack.run("r1")["status"] == ("succeeded" if retried else "failed")


def test_a_report_that_comes_after_its_worker_was_given_up_moves_no_place(rig: PoolRig) -> None:
    node = begin(rig)
    lose(rig, node)
    rig.admit()

    rig.report(ended(rig, node, "w"))

    assert (rig.under_way(), rig.taken()) == (["r2/work"], TAKEN)
    assert rig.admit() == 0
    finish_all(rig)


def test_a_report_of_another_worker_moves_no_place_and_the_holders_own_does(rig: PoolRig) -> None:
    node = begin(rig)

    rig.report(ended(rig, node, "other"))
    assert (rig.under_way(), rig.taken()) == (["r1/work"], TAKEN)
    assert rig.admit() == 0

    rig.report(ended(rig, node, "w"))
    assert rig.taken() == Counter()
    assert rig.admit() == 1
    assert rig.under_way() == ["r2/work"]
    finish_all(rig)


def finish_all(rig: PoolRig) -> None:
    """End running attempts with success one after the other until none is left; check that no place is left."""
    while names := rig.under_way():
        assert len(names) == 1
        rig.end(names[0])
        rig.admit()
    assert (rig.taken(), rig.waiting()) == (Counter(), [])
    assert rig.stack.rows(t.pool_waits) == []
    statuses = {row["dag_run_id"]: row["status"] for row in rig.stack.rows(t.dag_runs)}
    assert statuses["r2"] == statuses["r3"] == "succeeded"
