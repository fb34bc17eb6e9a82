"""What a campaign remembers of its faults while they go on."""

import threading
import time
from pathlib import Path

from tests.chaos.model import DISTRIBUTED, Fault, Plan
from tests.chaos.nemesis import Nemesis
from tests.harness.eventually import eventually


def test_only_faults_of_the_broker_and_the_database_are_outages(tmp_path: Path) -> None:
    began, ends, over = threading.Event(), threading.Event(), threading.Event()

    def carry(fault: Fault) -> tuple[str, tuple[str, ...]]:
        began.set()
        ends.wait(60)
        return fault.lane, ()

    def outages_in(lane: str) -> Nemesis:
        faults = (Fault(0.0, lane, "fault", 0, 1.0),)
        plan = Plan(1, DISTRIBUTED, 1.0, {}, (), (), faults)
        nemesis = Nemesis(plan, {"fault": carry}, tmp_path / "faults.jsonl", over)
        nemesis.start()
        assert began.wait(60)
        return nemesis

    since = time.time()
    servers, processes = outages_in("servers"), outages_in("processes")
    eventually(lambda: _true(servers.outage_s(since) > 0.05))
    assert processes.outage_s(since) == 0
    ends.set()
    for nemesis in (servers, processes):
        nemesis.stop()
    past_s = servers.outage_s(since)
    assert past_s > 0.05
    assert servers.outage_s(time.time()) == 0
    assert servers.outage_s(since) == past_s, "it has ended"


def _true(value: bool) -> None:
    assert value
