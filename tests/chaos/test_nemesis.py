"""What a campaign remembers of its faults while they go on."""

import threading
import time
from pathlib import Path

from tests.chaos.model import DISTRIBUTED, Fault, Plan
from tests.chaos.nemesis import Nemesis
from tests.harness.eventually import eventually


def test_faults_of_the_broker_the_database_and_schedulers_are_outages(tmp_path: Path) -> None:
    began, ends, over = threading.Event(), threading.Event(), threading.Event()

    def nemesis_of(lane: str, kind: str, victim: str) -> Nemesis:
        def carry(_fault: Fault) -> tuple[str, tuple[str, ...]]:
            began.set()
            ends.wait(60)
            return victim, ()

        plan = Plan(1, DISTRIBUTED, 1.0, {}, (), (), (Fault(0.0, lane, kind, 0, 1.0),))
        nemesis = Nemesis(plan, {kind: carry}, tmp_path / "faults.jsonl", over)
        nemesis.start()
        assert began.wait(60)
        began.clear()
        return nemesis

    since = time.time()
    broker = nemesis_of("servers", "broker killed", "RabbitMQ")
    scheduler = nemesis_of("processes", "scheduler killed", "scheduler-1")
    its_link = nemesis_of("links", "link slow", "scheduler-1")
    worker = nemesis_of("processes", "worker killed", "w1")
    a_workers_link = nemesis_of("links", "link slow", "w1")
    outages = (broker, scheduler, its_link)
    for nemesis in (*outages, a_workers_link):
        eventually(lambda nemesis=nemesis: _true(nemesis.outage_s(since) > 0.05))  # type: ignore[misc]
    assert worker.outage_s(since) == 0
    ends.set()
    for nemesis in (*outages, worker, a_workers_link):
        nemesis.stop()
    assert [one.outage_s(time.time()) for one in outages] == [0, 0, 0]
    assert min(one.outage_s(since) for one in outages) > 0.05, "it has ended"
    assert [worker.outage_s(since), a_workers_link.outage_s(since)] == [0, 0]


def test_outages_that_overlap_count_once(tmp_path: Path) -> None:
    ends, over = threading.Event(), threading.Event()

    def carry(_fault: Fault) -> tuple[str, tuple[str, ...]]:
        ends.wait(60)
        return "", ()

    faults = tuple(Fault(0.0, lane, "fault", 0, 1.0) for lane in ("servers", "failovers"))
    nemesis = Nemesis(Plan(1, DISTRIBUTED, 1.0, {}, (), (), faults), {"fault": carry}, tmp_path / "log", over)
    since = time.time()
    nemesis.start()
    eventually(lambda: _true(nemesis.outage_s(since) > 0.2))

    assert nemesis.outage_s(since) <= time.time() - since
    ends.set()
    nemesis.stop()


def _true(value: bool) -> None:
    assert value
