"""The plan of a campaign: the same for the same seed, valid, and with each kind of fault."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from shared.language.load import load
from tests.chaos.kinds import LANES
from tests.chaos.model import CLUSTERED, DISTRIBUTED, Fault, Verb
from tests.chaos.plan import deployments_with, make_plan

DEPLOYMENTS = tuple(LANES)
LEDGER = Path("/ledger")


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_seed_always_gives_the_same_plan_and_another_seed_another(deployment: str) -> None:
    assert make_plan(7, deployment, 60, LEDGER) == make_plan(7, deployment, 60, LEDGER)
    other = make_plan(8, deployment, 60, LEDGER)
    assert make_plan(7, deployment, 60, LEDGER).faults != other.faults
    assert make_plan(7, deployment, 60, LEDGER).dags != other.dags


@pytest.mark.parametrize("seed", range(5))
def test_every_dag_is_valid(seed: int) -> None:
    for dag in make_plan(seed, DISTRIBUTED, 60, LEDGER).dags:
        loaded = load(dag.spec, file_name=dag.name)
        assert loaded.ok, (dag.spec, loaded)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_kind_of_fault_comes_and_those_of_a_lane_follow_each_other(deployment: str) -> None:
    faults = make_plan(3, deployment, 600, LEDGER).faults
    lanes: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        lanes[fault.lane].append(fault)

    assert {lane: {one.kind for one in found} for lane, found in lanes.items()} == {
        lane: {kind.name for kind in kinds} for lane, kinds in LANES[deployment].items()
    }
    for found in lanes.values():
        assert all(first.at_s + first.lasts_s <= second.at_s for first, second in pairwise(found))


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_longer_pauses_leave_fewer_of_the_same_faults(deployment: str) -> None:
    usual, fewer = (make_plan(3, deployment, 600, LEDGER, pause=pause) for pause in (1.0, 4.0))

    assert fewer.requests == usual.requests
    for lane in LANES[deployment]:
        first, second = ([one.kind for one in plan.faults if one.lane == lane] for plan in (usual, fewer))
        assert len(second) < len(first)
        assert first[: len(second)] == second


def test_only_the_faults_that_are_asked_for_come() -> None:
    kind = "worker killed"

    assert {fault.kind for fault in make_plan(3, DISTRIBUTED, 60, LEDGER, only=[kind]).faults} == {kind}


def test_a_deployment_without_the_faults_that_are_asked_for_gets_no_campaign() -> None:
    assert deployments_with([], DEPLOYMENTS) == list(DEPLOYMENTS)
    assert deployments_with(["broker node killed"], DEPLOYMENTS) == [CLUSTERED]
    assert deployments_with(["worker of the earlier version"], DEPLOYMENTS, earlier=True) == [DISTRIBUTED, CLUSTERED]


@pytest.mark.parametrize("kind", ["worker kiled", "worker of the earlier version"])
def test_a_fault_that_no_deployment_has_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"no such fault here: {kind}. There are: "):
        deployments_with([kind], DEPLOYMENTS)


def test_a_plan_has_every_kind_of_request_and_of_step() -> None:
    plan = make_plan(3, DISTRIBUTED, 600, LEDGER)

    assert {request.verb for request in plan.requests} == set(Verb)
    assert len({request.key for request in plan.requests}) == len(plan.requests)
    assert {bool(request.repeats) for request in plan.requests} == {True, False}
    steps = {(step.retried, step.fails) for dag in plan.dags for found in dag.steps.values() for step in found}
    assert steps >= {(True, ""), (False, ""), (True, "once"), (False, "once"), (False, "always")}
