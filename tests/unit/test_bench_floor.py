"""What the floor of the benches decides, at each level of promises."""

import pytest

from bench.floor.decisions import Decision, Promises, Runs
from bench.floor.engine import pack, unpack


def tables(found: Decision) -> set[str]:
    """Return the tables that a decision writes to."""
    return {statement.split()[2] for statement in found.rows}


def test_a_chain_goes_on_with_each_end_and_ends_with_the_last() -> None:
    runs, found = Runs(), Decision(Promises.RUNS)
    runs.start("r", {"steps": 2, "chain": True}, None, found)
    assert found.tasks == [("r", 0)]

    runs.report({"run": "r", "idx": 0, "code": 0}, found)
    assert found.tasks == [("r", 0), ("r", 1)]
    assert found.ended == []

    runs.report({"run": "r", "idx": 1, "code": 0}, found)
    assert found.ended == ["r"]


def test_parallel_steps_are_sent_at_once() -> None:
    found = Decision(Promises.RUNS)
    Runs().start("r", {"steps": 3, "chain": False}, None, found)
    assert found.tasks == [("r", 0), ("r", 1), ("r", 2)]


def test_a_start_of_a_step_ends_nothing() -> None:
    runs, found = Runs(), Decision(Promises.STARTS)
    runs.start("r", {"steps": 1, "chain": True}, None, found)
    runs.report({"run": "r", "idx": 0}, found)
    assert found.ended == []
    assert tables(found) == {"floor_runs", "floor_steps"}


def test_only_the_complete_floor_writes_more_than_runs_and_steps() -> None:
    written = {}
    for promises in Promises:
        runs, found = Runs(), Decision(promises)
        runs.start("r", {"steps": 1, "chain": True}, None, found)
        runs.report({"run": "r", "idx": 0, "code": 0}, found)
        written[promises] = tables(found)
    assert written[Promises.RUNS] == written[Promises.STARTS] == {"floor_runs", "floor_steps"}
    more = written[Promises.ALL] - written[Promises.RUNS]
    assert more == {"floor_changes", "floor_audit", "floor_commands"}


def test_a_changed_message_of_the_complete_floor_is_refused() -> None:
    packed = pack({"run": "r"}, Promises.ALL)
    assert unpack(packed, Promises.ALL) == {"run": "r"}
    with pytest.raises(ValueError, match="signature"):
        unpack(packed.replace(b'"r"', b'"s"'), Promises.ALL)
