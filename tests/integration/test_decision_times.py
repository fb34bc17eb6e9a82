"""The time of a decision that had to wait for its run, which another scheduler had locked."""

from datetime import datetime, timedelta

import pytest

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.store import tables as t
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    return PoolRig(stack)


def test_a_run_does_not_end_before_it_began(rig: PoolRig) -> None:
    rig.dag("a", "{name: work, command: a}")
    rig.start("r1")
    began_at = rig.now

    def wait_and_stop(batch: Batch) -> datetime:
        rig.now = began_at
        handle(batch, c.StopRun(dag_name="a", dag_run_id="r1"))
        return batch.began_at

    rig.now -= timedelta(seconds=5)
    assert rig.another().transactor.decide(wait_and_stop) == began_at - timedelta(seconds=5)

    (run,) = rig.stack.rows(t.dag_runs, dag_run_id="r1")
    assert (run["status"], run["started_at"], run["finished_at"]) == ("aborted", began_at, began_at)
    assert {row["at"] for row in rig.stack.rows(t.transitions, run_key=run["run_key"])} == {began_at}
