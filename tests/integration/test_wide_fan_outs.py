"""A sub-run of a fan-out costs the same, however many the step calls; on both deployments."""

import pytest
from sqlalchemy import update

from services.scheduler.deciding.transactor import PROTOCOL
from shared.contracts import commands as c
from shared.store import tables as t
from tests.harness.statements import statements
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> PoolRig:
    rig = PoolRig(stack)
    rig.transactor.note_schedulers([{"protocol": PROTOCOL}])
    rig.must(c.CreateDag(file_name="c", spec="steps: [{name: work, command: a}]"))
    return rig


def fan_out(rig: PoolRig, run_id: str, count: int, at_once: int, params: str = "") -> None:
    rig.dag(run_id, f"{{name: fan, call: c, parallel: {{items: [x], maxConcurrent: {at_once}}}}}")
    rig.start(run_id, dag=run_id)
    rig.call(f"{run_id}/fan", *(f"{params}{run_id}-{number}" for number in range(count)))


def end_one(rig: PoolRig) -> None:
    """End the sub-run that began first."""
    rig.end(next(name for name in rig.under_way() if name.endswith("/work")))


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_the_end_of_a_sub_run_costs_the_same_among_200_as_among_10(rig: PoolRig, at_once: int) -> None:
    cost, calls = {}, {}
    for count in (10, 200):
        name = f"fan{count:03}"
        fan_out(rig, name, count, at_once)
        for _ in range(3):
            end_one(rig)
        calls[count] = rig.nodes()[f"{name}/fan"]["children"]
        # Values of SQLite are not in the texts, but a place for each.
        with statements(rig.stack.engine) as made:
            end_one(rig)
        cost[count] = len(made), sum(map(len, made))
        assert rig.nodes()[f"{name}/fan"]["children"] == calls[count], "only the states change"
        rig.must(c.StopRun(dag_name=name, dag_run_id=name))
        for node in rig.under_way():
            rig.end(node, "aborted")
        assert rig.status(name) == "aborted"
    assert cost[200][0] == cost[10][0]
    assert cost[200][1] < cost[10][1] * 1.05, cost


def test_states_are_read_from_the_calls_if_they_are_stored_with_them(rig: PoolRig) -> None:
    fan_out(rig, "old", 3, 1)
    end_one(rig)
    states = ["succeeded", "asked", "pending"]
    before = [{**call, "state": state} for call, state in zip(rig.nodes()["old/fan"]["children"], states, strict=True)]
    old = update(t.nodes).where(t.nodes.c.name == "fan").values(children=before, child_states=None)
    with rig.stack.engine.begin() as connection:
        connection.execute(old)
    rig.transactor._doubt_commits()  # as after a failover: the run is read from the database

    end_one(rig)
    end_one(rig)

    assert rig.status("old") == "succeeded"
    assert rig.nodes()["old/fan"]["child_states"] == "sss"


def test_states_that_an_earlier_version_has_written_since_are_those_that_count(rig: PoolRig) -> None:
    fan_out(rig, "back", 3, 1)
    end_one(rig)
    node = rig.nodes()["back/fan"]
    assert node["child_states"] == "sap"
    # A sub-run that has failed would be retried if it counted as not started.
    states = zip(node["children"], ["succeeded", "asked", "failed"], strict=True)
    written = [
        {name: call[name] for name in ("dagRunId", "dag", "params")} | {"state": state} for call, state in states
    ]
    with rig.stack.engine.begin() as connection:
        connection.execute(update(t.nodes).where(t.nodes.c.name == "fan").values(children=written))
    rig.transactor._doubt_commits()  # as a scheduler that starts: the run is read from the database

    end_one(rig)

    assert rig.nodes()["back/fan"]["child_states"] == "ssf"
    assert rig.status("back") == "failed"


def test_while_an_older_scheduler_lives_states_are_stored_with_the_calls(rig: PoolRig) -> None:
    fan_out(rig, "mixed", 3, 1)
    rig.transactor.note_schedulers([{"protocol": PROTOCOL}, {"protocol": None}])
    end_one(rig)

    node = rig.nodes()["mixed/fan"]
    assert [call["state"] for call in node["children"]] == ["succeeded", "asked", "pending"]
    assert node["child_states"] is None


def test_a_parent_that_another_transaction_has_locked_is_told_of_both_sub_runs_by_the_next_one(rig: PoolRig) -> None:
    fan_out(rig, "r", 4, 2)
    rig.parts.parents._missed.update(row["run_key"] for row in rig.stack.rows(t.dag_runs, dag_run_id="r"))
    with rig.stack.engine.begin() as connection:
        first = rig.under_way()[0].removesuffix("/work")
        ended = update(t.dag_runs).where(t.dag_runs.c.dag_run_id == first).values(status="aborted")
        connection.execute(ended)

    rig.end(rig.under_way()[1])

    assert rig.nodes()["r/fan"]["child_states"] == "bsaa"
