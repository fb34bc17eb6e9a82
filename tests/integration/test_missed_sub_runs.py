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

    sub_run_id = gates[0].split("/")[0]
    decide_and_die(rig, c.RejectStep(dag_name="p", dag_run_id="r1", sub_run_id=sub_run_id, step_name="gate"))
    assert rig.status("r1") == "waiting"

    rig.parts.parents.notify(dict.fromkeys(missed(rig)))
    assert rig.parts.admission.admit("p") == 1
    assert rig.status("r1") == "failed"
    assert {row["status"] for row in rig.stack.rows(t.dag_runs, dag_name="c")} == {"rejected", "aborted"}


def test_a_missed_approval_of_a_sub_run_is_found_while_that_of_another_step_waits(rig: PoolRig) -> None:
    rig.dag("c", "{name: gate, type: hitl}")
    calls = "{name: one, call: c}", "{name: other, call: c}"
    rig.dag("p", *calls, "{name: long, command: a}", "{name: after, command: a, depends: one}")
    rig.start("r1", dag="p")
    for step in ("one", "other"):
        rig.call(f"r1/{step}", "")
    for gate in [name for name in rig.nodes() if name.endswith("/gate")]:
        rig.end(gate)
    assert {row["status"] for row in rig.stack.rows(t.dag_runs, dag_name="c")} == {"waiting"}
    assert missed(rig) == []

    [sub_run] = rig.stack.rows(t.dag_runs, dag_name="c", parent_node=0)
    sub_run_id = sub_run["dag_run_id"]
    decide_and_die(rig, c.ApproveStep(dag_name="p", dag_run_id="r1", sub_run_id=sub_run_id, step_name="gate"))
    assert rig.status(sub_run_id) == "succeeded"

    rig.parts.parents.notify(dict.fromkeys(missed(rig)))
    assert rig.under_way() == ["r1/after", "r1/long"]


def decide_and_die(rig: PoolRig, command: c.Command) -> None:
    """Let a scheduler carry out a command that does nothing after its commit."""
    dying = Transactor(rig.store, SchedulerMemory(Plans()), lambda: rig.now)
    dying.decide(lambda batch: handle(batch, command))


def missed(rig: PoolRig) -> list[str]:
    """Return the runs that the periodic pass looks at."""
    with rig.store.begin() as tx:
        return tx.children.parents_waiting()
