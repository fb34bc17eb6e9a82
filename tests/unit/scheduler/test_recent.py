from dataclasses import replace
from types import MappingProxyType

from services.scheduler.core.plan import Plan
from services.scheduler.deciding.recent import RecentRun, RecentRuns
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import fresh, make_dag, step

RUN = fresh(make_dag(step("a")), status=RunStatus.RUNNING)


def test_a_cached_run_is_returned_at_its_committed_version_only() -> None:
    recent = RecentRuns()
    recent.keep([RecentRun(replace(RUN, version=3), {})], recent.era)

    assert recent.get("run-1", 3, RUN.plan) == replace(RUN, version=3)
    assert recent.get("run-1", 4, RUN.plan) is None, "another scheduler decided about it since"
    assert recent.get("run-1", 3, Plan(RUN.plan.dag)) is None, "its dag's file was renamed since"


def test_when_two_threads_commit_a_run_the_later_version_is_cached() -> None:
    recent = RecentRuns()
    recent.keep([RecentRun(replace(RUN, version=5), {})], recent.era)
    recent.keep([RecentRun(replace(RUN, version=4), {})], recent.era)

    assert recent.get("run-1", 5, RUN.plan) is not None


def test_a_decision_on_an_old_version_does_not_drop_a_newer_one() -> None:
    recent = RecentRuns()
    recent.keep([RecentRun(replace(RUN, version=5), {})], recent.era)
    recent.drop([replace(RUN, version=4)])
    assert recent.newest("run-1") is not None

    recent.drop([replace(RUN, version=5)])
    assert recent.newest("run-1") is None


def test_ended_runs_and_runs_with_much_output_are_not_cached() -> None:
    recent = RecentRuns()
    recent.keep([RecentRun(replace(RUN, version=1), {})], recent.era)
    recent.keep([RecentRun(replace(RUN, version=2, status=RunStatus.SUCCEEDED), {})], recent.era)
    loud = replace(RUN.nodes[0], outputs=MappingProxyType({"X": "x" * 100_000}))
    recent.keep([RecentRun(replace(RUN, run_key="run-2", nodes=(loud,)), {})], recent.era)

    assert recent.get("run-1", 2, RUN.plan) is None
    assert recent.get("run-2", 0, RUN.plan) is None


def test_the_cache_is_bounded() -> None:
    recent = RecentRuns()
    wide = tuple(replace(RUN.nodes[0], idx=idx) for idx in range(6_000))
    for number in range(4):
        recent.keep([RecentRun(replace(RUN, run_key=f"run-{number}", nodes=wide), {})], recent.era)

    assert [recent.get(f"run-{number}", 0, RUN.plan) is not None for number in range(4)] == [False, True, True, True]


def test_the_cache_is_bounded_by_the_params_of_its_runs_too() -> None:
    recent = RecentRuns()
    for number in range(30):
        long = replace(RUN, run_key=f"run-{number}", given="x" * 1_000_000)
        recent.keep([RecentRun(long, {})], recent.era)
    kept = [number for number in range(30) if recent.newest(f"run-{number}")]
    assert kept == list(range(11, 30))

    recent.drop([replace(RUN, run_key=f"run-{number}") for number in kept])
    recent.keep([RecentRun(replace(RUN, run_key=f"small-{number}"), {}) for number in range(20_000)], recent.era)
    assert recent.newest("small-0") is not None, "those that were dropped count no more"


def test_what_was_committed_before_the_cache_was_cleared_is_not_cached() -> None:
    """After a failover the database may have lost it, and count the same versions again."""
    recent = RecentRuns()
    era = recent.era
    recent.clear()
    recent.keep([RecentRun(replace(RUN, version=3), {})], era)
    assert recent.newest("run-1") is None

    recent.keep([RecentRun(replace(RUN, version=3), {})], recent.era)
    assert recent.newest("run-1") is not None
