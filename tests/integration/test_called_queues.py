"""Sub-runs obey global queues, on both deployments."""

import inspect
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from services.scheduler.assembly import Assembly
from services.scheduler.deciding.events import record_events
from shared.contracts import commands as c
from shared.contracts.events import AttemptFinished
from shared.store import tables as t
from tests.harness.statements import statements
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

WORK = "{name: work, command: a}"
FAN_OUT = "{name: fan, call: c, parallel: {items: [x], maxConcurrent: 50}}"


class Rig(PoolRig):
    """Runs of ``c`` are in the queue ``q``, whose limit is 1 by default."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.must(c.SetQueue(name="q", max_concurrency=1))
        self.dag("c", WORK, head="queue: q")

    def admit_queued(self, by: Assembly | None = None) -> int:
        return (by or self.parts).admission.admit("q")

    def end_running(self, dag: str = "c", **facts: Any) -> None:
        """End the only step of every running run of ``dag``."""
        for row in self.stack.rows(t.dag_runs, dag_name=dag, status="running"):
            self.end(f"{row['dag_run_id']}/work", **facts)

    def are(self, dag: str = "c") -> Counter[str]:
        return Counter(row["status"] for row in self.stack.rows(t.dag_runs, dag_name=dag))


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


@contextmanager
def scheduler_statements(rig: Rig) -> Iterator[list[str]]:
    """Collect the statements of schedulers that know the rules about workspaces, as after a pass over the leases."""
    with rig.transactor.store.begin() as tx:
        rig.transactor.memory.rules.read(tx)
    with statements(rig.stack.engine) as made:
        yield made


def test_called_runs_wait_for_a_limit_and_others_begin_at_once(rig: Rig) -> None:
    rig.dag("free", WORK, head="queue: elsewhere")
    rig.dag("a", "{name: one, call: c}", "{name: two, call: free}")
    rig.start("r1")

    rig.call("r1/one", "")
    rig.call("r1/two", "", dag="free")

    assert (rig.are("c"), rig.are("free")) == ({"queued": 1}, {"running": 1})
    rig.must(c.SetPause(scope="queue", name="q", by="ann"))
    assert rig.admit_queued() == 0
    rig.must(c.EndPause(scope="queue", name="q", by="ann"))
    assert rig.admit_queued() == 1
    rig.end_running("c")
    rig.end_running("free")
    assert rig.status("r1") == "succeeded"


@pytest.mark.parametrize("local", [False, True])
def test_thirty_sub_runs_take_as_many_statements_as_three(rig: Rig, local: bool) -> None:
    free = f"name: free\nqueue: elsewhere\nsteps: [{WORK}]"
    fan = "{name: fan, call: free, parallel: {items: [x], maxConcurrent: 50}}"
    if local:
        rig.must(c.CreateDag(file_name="a", spec=f"steps: [{fan}]\n---\n{free}"))
    else:
        rig.must(c.CreateDag(file_name="free", spec=free))
        rig.dag("a", fan)
    rig.start("warm", "few", "many")

    def call(run_id: str, count: int) -> list[str]:
        with scheduler_statements(rig) as made:
            rig.call(f"{run_id}/fan", *[f"{run_id}-{number}" for number in range(count)], dag="free")
        return made

    call("warm", 3)
    many, few = call("many", 30), call("few", 3)
    assert len(many) == len(few)
    assert not any("specs" in each for each in few), "the text is known since the first call"
    assert rig.are("free") == {"running": 36}


def test_thirty_steps_learn_of_the_ends_of_their_sub_runs_by_as_many_statements_as_three(rig: Rig) -> None:
    rig.dag("free", WORK, head="queue: elsewhere")
    made = []
    for count in (3, 30):
        name = f"a{count}"
        rig.dag(name, *[f"{{name: s{number}, call: free}}" for number in range(count)])
        rig.start(name, dag=name)
        for number in range(count):
            rig.call(f"{name}/s{number}", "", dag="free")
        facts: dict[str, Any] = {"worker_id": "w", "incarnation": "i", "at": rig.now, "started_at": rig.now}
        ends = [
            AttemptFinished(
                token=row["token"], run_key=row["run_key"], node=row["idx"], outcome="succeeded", exit_code=0, **facts
            )
            for row in rig.stack.rows(t.nodes, name="work")
            if row["token"] is not None
        ]
        with scheduler_statements(rig) as taken:
            rig.transactor.decide(lambda batch, ends=ends: record_events(batch, ends, lambda b: b.now))  # type: ignore[misc]
        assert rig.status(name) == "succeeded"
        made.append(len(taken))
    assert made[0] == made[1]


def test_more_sub_runs_are_found_than_one_statement_names(rig: Rig) -> None:
    rig.dag("free", WORK, head="queue: elsewhere")
    rig.dag("a", "{name: fan, call: free, parallel: {items: [x], maxConcurrent: 50}}")
    rig.start("r1")
    rig.call("r1/fan", "1", "2", dag="free")
    [root] = {row["root_key"] for row in rig.stack.rows(t.dag_runs, dag_name="free")}
    first, last = (row["dag_run_id"] for row in rig.stack.rows(t.dag_runs, dag_name="free"))
    with rig.store.begin() as tx:
        found = tx.children.keys(root, [first, *(f"none-{number}" for number in range(3_000)), last])
    assert found.keys() == {first, last}


def test_sub_runs_that_end_at_once_follow_each_other_and_do_not_nest(rig: Rig) -> None:
    rig.must(c.CreateDag(file_name="none", spec="description: it has no steps"))
    rig.dag("a", "{name: fan, call: none, parallel: {items: [x], maxConcurrent: 1}}")
    rig.start("r")
    depths: list[int] = []
    rig.transactor.after_commit(lambda _after: depths.append(len(inspect.stack(0))))

    rig.call("r/fan", *(str(number) for number in range(20)), dag="none")

    assert rig.status("r") == "succeeded"
    assert rig.are("none") == {"succeeded": 20}
    assert max(depths) - min(depths) < 10, "with hundreds of them, the scheduler's stack would overflow"


def test_two_schedulers_let_no_more_of_a_parallel_step_run_than_the_limit(rig: Rig) -> None:
    rig.must(c.SetQueue(name="q", max_concurrency=3))
    rig.dag("a", FAN_OUT)
    rig.start("r1", "r2")
    rig.call("r1/fan", *[f"r1-{number}" for number in range(7)])
    rig.call("r2/fan", *[f"r2-{number}" for number in range(4)])
    schedulers = [rig.parts, rig.another()]

    peaks = []
    while rig.are() != {"succeeded": 11}:
        threads = [threading.Thread(target=rig.admit_queued, args=(one,)) for one in schedulers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peaks.append(rig.are()["running"])
        rig.end_running()

    assert peaks == [3, 3, 3, 2]
    assert rig.are("a") == {"succeeded": 2}


def test_a_run_lends_its_place_to_those_it_called_one_at_a_time_at_any_depth(rig: Rig) -> None:
    rig.dag("middle", "{name: call, call: c, parallel: {items: [x], maxConcurrent: 50}}")
    rig.dag("a", "{name: call, call: middle}", head="queue: q")
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="r1"))
    assert rig.admit_queued() == 1
    rig.must(c.EnqueueRun(file_name="c", dag_run_id="other", priority="high"))
    assert rig.admit_queued() == 0

    rig.call("r1/call", "", dag="middle")
    [middle] = rig.stack.rows(t.dag_runs, dag_name="middle")
    rig.call(f"{middle['dag_run_id']}/call", "1", "2", "3")

    for ended in range(3):
        assert rig.admit_queued() == 1
        assert rig.admit_queued(rig.another()) == 0
        assert rig.are() == Counter(succeeded=ended, running=1, queued=3 - ended)
        assert rig.status("other") == "queued"
        rig.end_running()
    assert rig.status("r1") == "succeeded"
    assert rig.admit_queued() == 1
    assert rig.status("other") == "running"


def test_stopping_a_run_ends_those_it_called_while_they_are_queued(rig: Rig) -> None:
    rig.dag("a", FAN_OUT)
    rig.start("r1", "r2")
    rig.call("r1/fan", "1", "2")
    rig.call("r2/fan", "3")
    assert rig.admit_queued() == 1

    rig.must(c.StopRun(dag_name="a", dag_run_id="r1"))

    assert (rig.status("r1"), rig.are()) == ("aborted", {"aborted": 2, "queued": 1})
    assert rig.admit_queued() == 1


def test_one_that_is_called_again_waits_for_the_limit_again(rig: Rig) -> None:
    rig.dag("a", "{name: one, call: c, retryPolicy: {limit: 1, intervalSec: 0}}")
    rig.start("r1")
    rig.call("r1/one", "")
    rig.admit_queued()
    rig.must(c.StartRun(file_name="c", dag_run_id="by-hand"))
    rig.end(next(name for name in rig.under_way() if not name.startswith("by-hand")), "failed")
    rig.fire()

    rig.call("r1/one", "")

    assert rig.are() == {"queued": 1, "running": 1}
    assert rig.admit_queued() == 0
    rig.end_running()
    assert rig.admit_queued() == 1
    rig.end_running()
    assert rig.status("r1") == "succeeded"
