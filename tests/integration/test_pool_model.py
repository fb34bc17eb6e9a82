"""Admission to pools compared with a model: in any order of events, no limit is exceeded, no waiting step is lost."""

import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.contracts import commands as c
from shared.store import tables as t
from shared.transport.open import open_transport
from tests.harness.databases import migrated_sqlite
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

NEEDS = {
    "one": [("pool", "p")],
    "two": [("pool", "p"), ("lock", "l")],
    "own": [("lock", "l")],
    "rate": [("rate", "r")],
    "all": [("pool", "p"), ("lock", "l"), ("rate", "r")],
}
RATE, INTERVAL_S = 2, 10
STEPS = [
    "{name: one, command: a, pool: p}",
    "{name: two, command: a, pool: p, lock: l, retryPolicy: {limit: 1, intervalSec: 5}}",
    "{name: own, command: a, lock: l}",
    "{name: rate, command: a, rateLimit: {name: r, limit: 2, intervalSec: 10}}",
    "{name: all, command: a, pool: p, lock: l, rateLimit: {name: r, limit: 2, intervalSec: 10}}",
]


class Pools(RuleBasedStateMachine):
    """The model keeps capacities, the times of requests, and the start times for rate limits; it reads the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(self.folder.name)
        url = migrated_sqlite(path / "dagway.db")
        self.stack = Stack(url, lambda: open_transport(f"embedded:{path}/transport.db", name="test"))
        self.rig = PoolRig(self.stack)
        self.rig.dag("a", *STEPS)
        self.capacity = 1
        self.most = 1
        """The most steps that may be in the pool: its capacity, or the number of its steps when the capacity shrank."""
        self.runs = 0
        self.starts: list[datetime] = []

    def teardown(self) -> None:
        """Check that every waiting step enters its pools when all running steps end."""
        for _ in range(200):
            self.pass_time(INTERVAL_S)
            self.admit()
            for node in self.rig.under_way():
                self.rig.end(node)
            if not self.rig.waiting() and not self.rig.under_way():
                break
        statuses = {row["status"] for row in self.stack.rows(t.dag_runs)}
        left = [row for row in self.stack.rows(t.pool_places) if row["until_at"] is None]
        waits = self.stack.rows(t.pool_waits)
        self.stack.close()
        self.folder.cleanup()
        assert statuses <= {"succeeded", "failed", "aborted"}
        assert left == waits == []

    @precondition(lambda self: self.runs < 4)
    @rule(high=st.booleans())
    def start(self, high: bool) -> None:
        self.runs += 1
        run_id = f"r{self.runs}"
        if high:
            self.rig.must(c.EnqueueRun(file_name="a", dag_run_id=run_id, priority="high", queue=run_id))
            self.rig.parts.admission.admit(run_id)
        else:
            self.rig.start(run_id)

    @rule()
    def admit(self) -> None:
        lines = self._lines()
        before = set(self.rig.under_way())
        self.rig.admit()
        entered = set(self.rig.under_way()) - before
        self.starts += [self.rig.now for node in entered if ("rate", "r") in _needs(node)]
        self.most = max(self.capacity, self._in()["pool", "p"])
        for line in lines.values():
            # In each pool those that got in were the first in its line, but for who waits for another pool too.
            let_in = [node for node in line if node in entered]
            passed = line[: line.index(let_in[-1])] if let_in else []
            assert all(len(_needs(node)) > 1 for node in passed if node not in entered)

    @precondition(lambda self: self.rig.under_way())
    @rule(data=st.data(), well=st.booleans())
    def end(self, data: st.DataObject, well: bool) -> None:
        self.rig.end(data.draw(st.sampled_from(self.rig.under_way())), "succeeded" if well else "failed")

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        self.rig.ask(c.StopRun(dag_name="a", dag_run_id=f"r{data.draw(st.integers(1, self.runs))}"))

    @rule(seconds=st.integers(1, 8))
    def pass_time(self, seconds: int) -> None:
        self.rig.now += timedelta(seconds=seconds)
        self.rig.fire()

    @rule(capacity=st.integers(1, 3))
    def change(self, capacity: int) -> None:
        self.rig.must(c.SetPool(name="p", capacity=capacity))
        self.capacity = capacity
        self.most = max(capacity, self._in()["pool", "p"])

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        found = self._in()
        assert found["pool", "p"] <= self.most
        assert found["lock", "l"] <= 1
        for start in self.starts:
            within = [one for one in self.starts if start <= one < start + timedelta(seconds=INTERVAL_S)]
            assert len(within) <= RATE

    @invariant()
    def places_are_those_of_attempts_under_way(self) -> None:
        rows = self.stack.rows(t.pool_places)
        kept = Counter((row["kind"], row["name"]) for row in rows if row["until_at"] is None)
        expected = self._in()
        assert kept == Counter({key: count for key, count in expected.items() if key[0] != "rate"})
        asked = {(row["run_key"], row["node"]) for row in self.stack.rows(t.pool_waits)}
        assert len(asked) == len(self.rig.waiting())

    def _in(self) -> Counter[tuple[str, str]]:
        return Counter(key for node in self.rig.under_way() for key in _needs(node))

    def _lines(self) -> dict[tuple[str, str], list[str]]:
        names = {(row["run_key"], row["idx"]): name for name, row in self.rig.nodes().items()}
        found: dict[tuple[str, str], list[str]] = {}
        rows = self.stack.rows(t.pool_waits)
        for row in sorted(rows, key=lambda row: (row["entry_order"], row["run_key"], row["node"])):
            found.setdefault((row["kind"], row["name"]), []).append(names[row["run_key"], row["node"]])
        return found


def _needs(node: str) -> list[tuple[str, str]]:
    return NEEDS[node.split("/")[1]]


TestPools = Pools.TestCase
TestPools.settings = settings(max_examples=6, stateful_step_count=15, deadline=None, phases=[Phase.generate])
