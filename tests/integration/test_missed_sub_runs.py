"""What the periodic pass finds of sub-runs whose change no scheduler told their parent run, because it died then."""

import pytest

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.transactor import Transactor
from shared.contracts import commands as c
from shared.store import tables as t
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    return PoolRig(stack)


def test_a_missed_rejection_of_one_of_two_waiting_sub_runs_ends_its_parent(rig: PoolRig) -> None:
    rig.dag("c", "{name: gate, type: hitl}")
    rig.dag("p", "{name: both, call: c, parallel: [x, y]}")
    rig.start("r1", dag="p")
    rig.call("r1/both", "x", "y")
    gates = sorted(name for name in rig.nodes() if name.endswith("/gate"))
    for gate in gates:
        rig.end(gate)
    assert rig.status("r1") == "waiting"
    assert missed(rig) == []

    dying = Transactor(rig.store, SchedulerMemory(Plans()), lambda: rig.now)
    sub_run_id = gates[0].split("/")[0]
    reject = c.RejectStep(dag_name="p", dag_run_id="r1", sub_run_id=sub_run_id, step_name="gate")
    dying.decide(lambda batch: handle(batch, reject))
    assert rig.status("r1") == "waiting"

    rig.parts.parents.notify(dict.fromkeys(missed(rig)))
    assert rig.parts.admission.admit("p") == 1
    assert rig.status("r1") == "failed"
    assert {row["status"] for row in rig.stack.rows(t.dag_runs, dag_name="c")} == {"rejected", "aborted"}


def missed(rig: PoolRig) -> list[str]:
    """Return the runs that the periodic pass looks at."""
    with rig.store.begin() as tx:
        return tx.children.parents_waiting()
