from dataclasses import replace
from types import MappingProxyType

from services.scheduler.core.plan import Plan
from services.scheduler.deciding.recent import RecentRuns
from shared.status import RunStatus
from tests.unit.scheduler.core.stage import fresh, make_dag, step

RUN = fresh(make_dag(step("a")), status=RunStatus.RUNNING)


def test_a_run_is_known_at_the_version_it_was_committed_at_only() -> None:
    recent = RecentRuns()
    recent.keep([replace(RUN, version=3)])

    assert recent.get("run-1", 3, RUN.plan) == replace(RUN, version=3)
    assert recent.get("run-1", 4, RUN.plan) is None, "another scheduler decided about it since"
    assert recent.get("run-1", 3, Plan(RUN.plan.dag)) is None, "its dag's file was renamed since"


def test_of_two_threads_that_committed_the_later_version_counts() -> None:
    recent = RecentRuns()
    recent.keep([replace(RUN, version=5)])
    recent.keep([replace(RUN, version=4)])

    assert recent.get("run-1", 5, RUN.plan) is not None


def test_what_is_over_or_talks_much_is_not_kept() -> None:
    recent = RecentRuns()
    recent.keep([replace(RUN, version=1)])
    recent.keep([replace(RUN, version=2, status=RunStatus.SUCCEEDED)])
    loud = replace(RUN.nodes[0], outputs=MappingProxyType({"X": "x" * 100_000}))
    recent.keep([replace(RUN, run_key="run-2", nodes=(loud,))])

    assert recent.get("run-1", 2, RUN.plan) is None
    assert recent.get("run-2", 0, RUN.plan) is None


def test_the_memory_it_takes_is_bounded() -> None:
    recent = RecentRuns()
    wide = tuple(replace(RUN.nodes[0], idx=idx) for idx in range(6_000))
    for number in range(4):
        recent.keep([replace(RUN, run_key=f"run-{number}", nodes=wide)])

    assert [recent.get(f"run-{number}", 0, RUN.plan) is not None for number in range(4)] == [False, True, True, True]
