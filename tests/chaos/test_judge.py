"""The judge finds each kind of damage, and nothing in a campaign without any."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.evidence import Evidence, Row
from tests.chaos.judge import RULES, judge
from tests.chaos.model import DISTRIBUTED, DagPlan, Plan, Request, StepPlan, Strike, Undone, Verb
from tests.chaos.users import Reply

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAG = DagPlan("one", "", {"one": (StepPlan("only", retried=False, fails=""),)})
CRON = DagPlan("cron", "", {}, cron=True)
REQUESTS = (
    Request(0, Verb.START, "one", "r1", "run-1"),
    Request(1, Verb.START, "one", "", "run-2", repeats=1),
    Request(5, Verb.RETRY, "one", "r1", "retry-1"),
)


def run(key: str, dag: str, run_id: str, **facts: Any) -> Row:
    return {
        "run_key": key,
        "dag_name": dag,
        "dag_run_id": run_id,
        "parent_key": None,
        "status": "succeeded",
        "run_attempt": 1,
        "stop_reason": None,
        **facts,
    }


def attempt(key: str, number: int, **facts: Any) -> Row:
    return {
        "run_key": key,
        "node": 0,
        "run_attempt": number,
        "state": "finished",
        "outcome": "succeeded",
        "worker_id": "w1",
        "error": "",
        "dispatched_at": BEGAN,
        "finished_at": BEGAN + timedelta(seconds=number),
        **facts,
    }


def node(key: str, **facts: Any) -> Row:
    return {"run_key": key, "idx": 0, "name": "only", "status": "succeeded", "error": "", **facts}


def execution(key: str) -> Row:
    return {"run_key": key, "node": 0, "begun": True}


GOOD = Evidence(
    Plan(1, DISTRIBUTED, 60, {}, (DAG, CRON), REQUESTS, ()),
    # The worker of the first attempt of r1 was killed, and a user has retried the run.
    runs=[run("k1", "one", "r1", run_attempt=2), run("k2", "one", "x"), run("k3", "cron", "c1")],
    nodes=[node("k1"), node("k2")],
    attempts=[attempt("k1", 1, state="lost", outcome=None), attempt("k1", 2), attempt("k2", 1)],
    executions=[execution("k1"), execution("k1"), execution("k2")],
    told=frozenset(),
    slots=[{"outcome": "fired", "dag_run_id": "c1"}, {"outcome": "skipped", "dag_run_id": None}],
    outcomes={"retry-1": "recorded"},
    ledger={
        ("one", "r1"): Counter({("begin", "only"): 2, ("end", "only"): 1}),
        ("one", "x"): Counter({("begin", "only"): 1, ("end", "only"): 1}),
    },
    replies={
        "run-1": [Reply(200, "r1")],
        "run-2": [Reply(202, "x"), Reply(200, "x")],
        "retry-1": [Reply(200, "r1")],
    },
    strikes=[Strike("worker killed", "w1", BEGAN.timestamp(), BEGAN.timestamp() + 1, ("w1",))],
)
TWICE = {**GOOD.ledger, ("one", "x"): Counter({("begin", "only"): 2, ("end", "only"): 2})}
DAMAGES: dict[str, tuple[str, Callable[[], Evidence]]] = {
    "an accepted run is gone": (
        "accepted runs exist",
        lambda: replace(GOOD, runs=[GOOD.runs[0], GOOD.runs[2]], nodes=[node("k1")], attempts=[attempt("k1", 2)]),
    ),
    "a run that nobody asked for": (
        "accepted runs exist",
        lambda: replace(GOOD, runs=[*GOOD.runs, run("k4", "one", "y")]),
    ),
    "two runs for one key": (
        "accepted runs exist",
        lambda: replace(GOOD, replies={**GOOD.replies, "run-2": [Reply(200, "x"), Reply(200, "y")]}),
    ),
    "a start that was refused": (
        "accepted runs exist",
        lambda: replace(GOOD, replies={**GOOD.replies, "run-1": [Reply(409, "")]}),
    ),
    "a run that does not end": (
        "accepted runs end",
        lambda: replace(GOOD, runs=[run("k1", "one", "r1", run_attempt=2, status="running"), *GOOD.runs[1:]]),
    ),
    "a retry that counts twice": (
        "retries count once",
        lambda: replace(GOOD, runs=[run("k1", "one", "r1", run_attempt=3), *GOOD.runs[1:]]),
    ),
    "a retry that was refused and counts": ("retries count once", lambda: replace(GOOD, outcomes={})),
    "an execution that is not recorded": ("executions are recorded", lambda: replace(GOOD, ledger=TWICE)),
    "a second execution that is recorded and not told": (
        "at most once",
        lambda: replace(GOOD, ledger=TWICE, executions=[*GOOD.executions, execution("k2")]),
    ),
    "a success that did not run": (
        "successes ran",
        lambda: replace(GOOD, ledger={**GOOD.ledger, ("one", "x"): Counter({("begin", "only"): 1})}),
    ),
    "a loss without a fault": ("losses have a cause", lambda: replace(GOOD, strikes=[])),
    "a loss before the fault": (
        "losses have a cause",
        lambda: replace(GOOD, strikes=[replace(GOOD.strikes[0], began=BEGAN.timestamp() + 30)]),
    ),
    "a failure without a cause": (
        "failures have a cause",
        lambda: replace(GOOD, nodes=[node("k1"), node("k2", status="failed", error="hm")]),
    ),
    "a fire without its run": ("fired runs exist", lambda: replace(GOOD, runs=GOOD.runs[:2])),
    "a run of a schedule without a fire": ("fired runs exist", lambda: replace(GOOD, slots=[])),
}


def test_a_campaign_without_damage_has_no_violation() -> None:
    assert judge(GOOD) == {rule: [] for rule in RULES}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_by_its_rule(damage: str) -> None:
    rule, damaged = DAMAGES[damage]

    found = judge(damaged())

    assert found[rule] != []


def test_every_rule_can_fail() -> None:
    assert {rule for rule, _ in DAMAGES.values()} == set(RULES)


def undone(name: tuple[str, str]) -> Undone:
    """Return that a run was lost, with its creation."""
    return Undone(frozenset({name}), frozenset({name}))


UNDONE_BY_FAILOVER = {
    "an accepted run is gone": ("one", "x"),
    "an execution that is not recorded": ("one", "x"),
    "a second execution that is recorded and not told": ("one", "x"),
    "a loss without a fault": ("one", "r1"),
}


@pytest.mark.parametrize("damage", UNDONE_BY_FAILOVER)
def test_what_lost_commits_promised_is_excused_for_the_runs_that_lost_them_only(damage: str) -> None:
    rule, damaged = DAMAGES[damage]

    assert judge(replace(damaged(), undone=undone(UNDONE_BY_FAILOVER[damage])))[rule] == []
    assert judge(replace(damaged(), undone=undone(("one", "another"))))[rule] != []


def test_two_runs_of_one_key_are_excused_if_a_failover_lost_the_first() -> None:
    replies = {**GOOD.replies, "run-2": [Reply(200, "lost"), Reply(200, "x")]}

    assert judge(replace(GOOD, replies=replies, undone=undone(("one", "lost"))))["accepted runs exist"] == []


def test_a_success_that_did_not_run_is_never_excused() -> None:
    rule, damaged = DAMAGES["a success that did not run"]

    assert judge(replace(damaged(), undone=undone(("one", "x"))))[rule] != []


def test_a_run_that_the_replica_had_must_still_exist() -> None:
    rule, damaged = DAMAGES["an accepted run is gone"]

    assert judge(replace(damaged(), undone=Undone(frozenset({("one", "x")}))))[rule] != []


def test_what_the_run_says_itself_is_no_violation() -> None:
    said = replace(GOOD, ledger=TWICE, executions=[*GOOD.executions, execution("k2")], told=frozenset({"k2"}))

    assert judge(said)["at most once"] == []


def test_a_step_that_repeats_runs_as_often_as_that() -> None:
    dag = replace(DAG, steps={"one": (StepPlan("only", retried=False, fails="", repeats=2),)})
    # Two executions in the first run attempt of r1 and, after the retry, two in the second.
    ledger = {**TWICE, ("one", "r1"): Counter({("begin", "only"): 4, ("end", "only"): 4})}
    good = replace(GOOD, plan=replace(GOOD.plan, dags=(dag, CRON)), ledger=ledger)
    rarely = {**ledger, ("one", "x"): GOOD.ledger["one", "x"]}
    often = {**ledger, ("one", "x"): Counter({("begin", "only"): 3, ("end", "only"): 3})}

    assert (judge(good)["at most once"], judge(good)["successes ran"]) == ([], [])
    assert judge(replace(good, ledger=rarely))["successes ran"] != []
    assert judge(replace(good, ledger=often))["at most once"] != []
