"""Pools, locks and rate limits on both deployments: limits, order, and when places are free again."""

import threading
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from services.scheduler.commands.pools import apply_configured_pools
from services.scheduler.core.messages import AttemptLost
from services.scheduler.deciding.events import record_notices
from shared.contracts import commands as c
from shared.errors import RowsLocked
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.transaction import Store
from tests.harness.eventually import PATIENCE_S
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

WORK = "{name: work, command: a, pool: gpu}"
ALONE = "{name: work, command: a, lock: table}"


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    return PoolRig(stack)


def test_a_pool_lets_in_as_many_as_it_has_places_in_order(rig: PoolRig) -> None:
    rig.must(c.SetPool(name="gpu", capacity=2))
    rig.dag("a", WORK)
    for run_id in ("r1", "r2", "r3", "r4"):
        rig.start(run_id)
        rig.now += timedelta(seconds=1)
    assert rig.under_way() == []
    assert rig.admit() == 2
    assert (rig.under_way(), rig.waiting()) == (["r1/work", "r2/work"], ["r3/work", "r4/work"])
    assert rig.admit() == 0

    rig.end("r2/work")
    assert rig.admit() == 1
    assert rig.under_way() == ["r1/work", "r3/work"]
    for run_id in ("r1", "r3"):
        rig.end(f"{run_id}/work")
    assert rig.admit() == 1
    rig.end("r4/work")
    assert rig.taken() == Counter()
    assert rig.stack.rows(t.pool_waits) == []
    assert {row["status"] for row in rig.stack.rows(t.dag_runs)} == {"succeeded"}


def test_a_pool_that_is_not_configured_has_one_place_and_any_capacity_can_be_changed(rig: PoolRig) -> None:
    rig.dag("a", WORK)
    rig.start("r1", "r2", "r3", "r4")
    assert rig.admit() == 1
    rig.must(c.SetPool(name="gpu", capacity=3))
    assert rig.admit() == 2
    rig.must(c.SetPool(name="gpu", capacity=1))
    for name in rig.under_way()[:2]:
        rig.end(name)
    assert rig.admit() == 0
    rig.must(c.RemovePool(name="gpu"))
    assert rig.ask(c.RemovePool(name="gpu"))[0].error is not None
    rig.end(rig.under_way()[0])
    assert rig.admit() == 1


def test_a_configured_capacity_yields_to_the_api_until_the_configuration_changes(rig: PoolRig) -> None:
    def configure(**pools: int) -> int | None:
        with Store(rig.stack.engine).begin() as tx:
            apply_configured_pools(tx, pools, rig.now)
        rows = rig.stack.rows(t.pools, name="q")
        return rows[0]["capacity"] if rows else None

    assert configure(q=2) == 2
    rig.must(c.SetPool(name="q", capacity=7))
    assert configure(q=2) == 7
    assert configure(q=3) == 3
    assert configure() is None
    rig.must(c.SetPool(name="q", capacity=7))
    assert configure() == 7


def test_a_high_runs_step_goes_first(rig: PoolRig) -> None:
    rig.dag("a", ALONE)
    rig.start("r0")
    rig.admit()
    rig.start("low")
    rig.now += timedelta(minutes=1)
    rig.must(c.EnqueueRun(file_name="a", dag_run_id="high", priority="high", queue="q"))
    rig.parts.admission.admit("q")
    rig.end("r0/work")
    rig.admit()
    assert rig.under_way() == ["high/work"]


@pytest.mark.parametrize("how", ["finish", "fail", "stop", "lost", "retry"])
def test_however_an_attempt_ends_its_places_come_back(rig: PoolRig, how: str) -> None:
    retry = ", retryPolicy: {limit: 1, intervalSec: 60}" if how == "retry" else ""
    rig.dag("a", "{name: work, command: a, lock: [one, two], pool: gpu" + retry + "}")
    rig.start("r1")
    rig.now += timedelta(seconds=1)
    rig.start("r2")
    assert rig.admit() == 1
    rig.now += timedelta(seconds=1)
    if how == "finish":
        rig.end("r1/work")
    elif how in {"fail", "retry"}:
        rig.end("r1/work", "failed")
    elif how == "lost":
        row = rig.nodes()["r1/work"]
        lost = AttemptLost(row["idx"], row["token"], "gone")
        rig.transactor.decide(lambda batch: record_notices(batch, [(row["run_key"], lost)]))
    else:
        rig.must(c.StopRun(dag_name="a", dag_run_id="r1"))

    assert rig.admit() == 1
    # An attempt that was lost before it began is sent again: it asks anew, behind those who waited.
    assert rig.under_way() == ["r2/work"]
    assert rig.waiting() == (["r1/work"] if how == "lost" else [])


def test_a_retry_asks_again_when_its_time_comes(rig: PoolRig) -> None:
    rig.dag("a", "{name: work, command: a, lock: x, retryPolicy: {limit: 1, intervalSec: 60}}")
    rig.start("r1")
    rig.admit()
    rig.end("r1/work", "failed")
    assert rig.taken() == Counter()
    assert rig.waiting() == []
    rig.now += timedelta(seconds=61)
    assert rig.fire() == 1
    assert rig.waiting() == ["r1/work"]
    assert rig.admit() == 1
    rig.end("r1/work")
    assert rig.stack.run("r1")["status"] == "succeeded"


def test_a_retry_gets_its_place_from_a_scheduler_whose_time_is_earlier(rig: PoolRig) -> None:
    """Its transaction may have begun before the retry was due, and waited. No timer would come back to the step."""
    rig.dag("a", "{name: work, command: a, lock: x, retryPolicy: {limit: 1, intervalSec: 60}}")
    rig.start("r1")
    rig.admit()
    rig.end("r1/work", "failed")
    rig.now += timedelta(seconds=60)
    assert rig.fire() == 1
    rig.now -= timedelta(seconds=1)
    assert rig.admit() == 1
    rig.end("r1/work")
    assert rig.stack.run("r1")["status"] == "succeeded"


def test_a_waiting_step_can_be_stopped_and_waits_no_longer(rig: PoolRig) -> None:
    rig.dag("a", ALONE)
    rig.start("r1")
    rig.admit()
    rig.now += timedelta(seconds=1)
    rig.start("r2")
    rig.now += timedelta(seconds=1)
    rig.start("r3")
    rig.must(c.StopRun(dag_name="a", dag_run_id="r2"))
    assert rig.stack.run("r2")["status"] == "aborted"
    assert rig.waiting() == ["r3/work"]
    rig.end("r1/work")
    rig.admit()
    assert rig.under_way() == ["r3/work"]


def test_a_step_takes_all_its_places_at_once_and_none_overtakes_it_in_any_of_them(rig: PoolRig) -> None:
    rig.dag("both", "{name: work, command: a, lock: [x, y]}")
    rig.dag("only", "{name: work, command: a, lock: x}")
    rig.dag("other", "{name: work, command: a, lock: y}")
    rig.start("holds-y", dag="other")
    rig.admit()
    rig.now += timedelta(seconds=1)
    rig.start("both", dag="both")
    rig.now += timedelta(seconds=1)
    rig.start("later", dag="only")
    assert rig.admit() == 0, "x is free, and it is the turn of the one before"

    rig.end("holds-y/work")
    assert rig.admit() == 1
    assert rig.under_way() == ["both/work"]
    rig.end("both/work")
    assert rig.admit() == 1
    assert rig.under_way() == ["later/work"]


def test_a_lock_and_a_pool_of_one_name_have_nothing_to_do_with_each_other(rig: PoolRig) -> None:
    rig.dag("a", "{name: l, command: a, lock: x}", "{name: p, command: a, pool: x}")
    rig.start("r1")
    assert rig.admit() == 2


def test_a_rate_limit_counts_starts_within_any_interval_however_short_the_steps(rig: PoolRig) -> None:
    rig.dag("a", "{name: work, command: a, rateLimit: {name: api, limit: 2, intervalSec: 60}}")
    rig.start("r1", "r2", "r3", "r4", "r5")
    assert rig.admit() == 2
    for name in rig.under_way():
        rig.end(name)
    assert rig.admit() == 0

    rig.now += timedelta(seconds=59)
    assert rig.fire() == 0
    assert rig.admit() == 0
    rig.now += timedelta(seconds=1)
    assert rig.fire() == 1, "the first in the line asks again"
    assert rig.parts.pools.admit(rig.parts.pools._pools) == 2
    assert len(rig.under_way()) == 2
    rig.now += timedelta(seconds=60)
    rig.fire()
    assert rig.admit() == 1


def test_four_schedulers_never_exceed_a_limit(rig: PoolRig) -> None:
    """Four schedulers admit to the same pools while steps end. The rows of places and attempts prove the limits."""
    capacities = {"p1": 1, "p2": 2, "p3": 3}
    rig.must(*[c.SetPool(name=name, capacity=capacity) for name, capacity in capacities.items()])
    rig.dag(
        "a",
        "{name: s1, command: a, pool: p1}",
        "{name: s2, command: a, pool: [p2, p3]}",
        "{name: s3, command: a, pool: p3}",
        "{name: s4, command: a, pool: [p1, p2], rateLimit: {name: api, limit: 1000, intervalSec: 1}}",
        "{name: s5, command: a, lock: l}",
    )
    # One writer at a time makes nothing quicker: on SQLite a few runs must do.
    count = 12 if is_postgres(rig.stack.engine) else 2
    rig.start(*[f"r{number:02}" for number in range(count)])
    needs = {"s1": ["p1"], "s2": ["p2", "p3"], "s3": ["p3"], "s4": ["p1", "p2"], "s5": ["l"]}
    over: list[tuple[str, int]] = []
    done = threading.Event()

    def admit_all() -> None:
        another = rig.another()
        while not done.wait(0.01):  # without a pause they would mostly look in vain
            with suppress(RowsLocked):  # as the loop does: on a busy machine the others may take long
                rig.admit(another)

    def end_some() -> None:
        while not done.is_set():
            names = rig.under_way()
            counts = Counter(pool for name in names for pool in needs[name.split("/")[1]])
            over.extend((pool, count) for pool, count in counts.items() if count > capacities.get(pool, 1))
            for name in names:
                with suppress(RowsLocked):
                    rig.end(name)
            if {row["status"] for row in rig.stack.rows(t.dag_runs)} == {"succeeded"}:
                done.set()

    threads = [threading.Thread(target=admit_all) for _ in range(4)] + [threading.Thread(target=end_some)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert done.is_set()
    assert over == []
    assert {row["status"] for row in rig.stack.rows(t.dag_runs)} == {"succeeded"}
    assert Counter(row["state"] for row in rig.stack.rows(t.attempts)) == {"finished": 5 * count}
    assert {key for key, count in rig.taken().items() if count} <= {("rate", "api")}
