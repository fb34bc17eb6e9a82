"""Short campaigns with a fixed seed on both deployments, and one with guards removed, which must be found.

``make chaos`` runs longer ones.
"""

from pathlib import Path

import pytest

from tests.chaos.campaign import distributed, embedded, run_campaign
from tests.chaos.guards import without
from tests.chaos.kinds import LANES
from tests.chaos.model import DISTRIBUTED, EMBEDDED, Fault, Plan, Request, Verb
from tests.chaos.plan import make_plan
from tests.chaos.report import report
from tests.harness.servers import PostgresServer, RabbitServer

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
SEED = 28
RUNS_A_MINUTE = 50


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    return folder


def kinds(deployment: str) -> set[str]:
    return {kind.name for found in LANES[deployment].values() for kind in found}


def test_nothing_is_lost_or_doubled_while_everything_fails(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path, ledger: Path
) -> None:
    plan = make_plan(SEED, DISTRIBUTED, 18, ledger, runs_a_minute=RUNS_A_MINUTE)
    with distributed(tmp_path / "system", *servers, gateways=1, workers=2) as target:
        assert target.carries.keys() >= kinds(DISTRIBUTED)
        outcome = run_campaign(plan, target, ledger, tmp_path / "faults.jsonl")
    print(report(outcome))  # noqa: T201 - what it is about

    assert outcome.violations == []
    assert len({strike.kind for strike in outcome.strikes if not strike.error}) >= 2
    assert outcome.executions > 0


def test_nothing_is_lost_or_doubled_while_one_command_runs_all(tmp_path: Path, ledger: Path) -> None:
    plan = make_plan(SEED, EMBEDDED, 10, ledger, runs_a_minute=RUNS_A_MINUTE)
    with embedded(tmp_path / "system") as target:
        assert target.carries.keys() == kinds(EMBEDDED)
        outcome = run_campaign(plan, target, ledger, tmp_path / "faults.jsonl")
    print(report(outcome))  # noqa: T201 - what it is about

    assert outcome.violations == []
    assert [strike.error for strike in outcome.strikes] != []
    assert outcome.executions > 0


def test_the_judge_finds_what_removed_guards_let_through(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    """Whether a fault meets what the guard protects is chance: there are up to six campaigns."""
    removed = without(("token once", "grant", "inbox", "heard"), tmp_path / "removed")
    # Inbox; token once and grant; heard.
    expected = {"accepted runs exist", "executions are recorded", "losses have a cause"}
    found: dict[str, list[str]] = {}
    for number in range(6):
        folder = tmp_path / f"campaign-{number}"
        (folder / "ledger").mkdir(parents=True)
        with distributed(folder / "system", *servers, gateways=1, schedulers=1, workers=1, env=removed) as target:
            outcome = run_campaign(harmful_plan(folder / "ledger"), target, folder / "ledger", folder / "faults.jsonl")
        found |= {rule: texts for rule, texts in outcome.found.items() if texts}
        if found.keys() >= expected:
            return
    raise AssertionError(found)


def harmful_plan(ledger: Path) -> Plan:
    """Return a plan whose faults the removed guards would prevent from doing harm."""
    made = make_plan(SEED, DISTRIBUTED, 20, ledger)
    dags = tuple(dag for dag in made.dags if dag.name == "chain-1")
    requests = tuple(
        Request(number * 0.4, Verb.START, "chain-1", f"r{number}", f"run-{number}", repeats=number % 2)
        for number in range(30)
    )
    faults = (
        Fault(0.5, "servers", "tasks delivered twice and late", 0, 3),
        Fault(4.0, "servers", "broker in memory alarm", 0, 10),
    )
    return Plan(SEED, DISTRIBUTED, 14, {}, dags, requests, faults)
