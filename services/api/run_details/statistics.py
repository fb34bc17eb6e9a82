"""What the past runs of a DAG say: percentiles of durations, and failures that have the same cause. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.status import NodeStatus, RunStatus
from shared.store.reads.reader import EndedRunRow, EndedStepRow

__all__ = ["Durations", "FailureGroup", "durations", "failure_groups", "milliseconds_between", "step_durations"]

_VARIES = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}|\d{5,}|\d{4}-\d\d-\d\dT[\d:.+Z-]+)\b"
)
"""Ids, times and large numbers: what differs between messages about the same cause."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, in milliseconds, over ``count`` successes: the median, and what 95 % did not exceed."""

    count: int
    p50_ms: int
    p95_ms: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures with the same message. ``step`` is empty if the run itself failed. ``dag_run_id``: the newest run."""

    step: str
    message: str
    count: int
    dag_run_id: str
    at: datetime


def milliseconds_between(start: datetime, end: datetime) -> int:
    """Return how many milliseconds are between both, 0 if the clocks of two machines put the end first."""
    return max(0, round((end - start) / timedelta(milliseconds=1)))


def durations(values_ms: Iterable[int]) -> Durations | None:
    """Return the percentiles of these durations by nearest rank, or ``None`` if there are none."""
    ordered = sorted(values_ms)
    if not ordered:
        return None
    return Durations(len(ordered), _percentile(ordered, 50), _percentile(ordered, 95))


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[-(-percent * len(ordered) // 100) - 1]


def step_durations(steps: Sequence[EndedStepRow]) -> dict[str, Durations]:
    """Return the durations of each step that has succeeded at least once, in the order of ``steps``."""
    values: dict[str, list[int]] = {}
    for step in steps:
        if step.status.successful:
            values.setdefault(step.name, []).append(milliseconds_between(step.started_at, step.finished_at))
    return {name: found for name, each in values.items() if (found := durations(each)) is not None}


def failure_groups(runs: Sequence[EndedRunRow], steps: Sequence[EndedStepRow]) -> list[FailureGroup]:
    """Return the failures of ``runs``, newest first, by the first failed step and its message; the most common first.

    Messages that differ only in ids, times or large numbers count as the same.
    """
    first_failed: dict[str, EndedStepRow] = {}
    for step in steps:
        if step.status in {NodeStatus.FAILED, NodeStatus.REJECTED}:
            first_failed.setdefault(step.run_key, step)
    groups: dict[tuple[str, str], FailureGroup] = {}
    for run in runs:
        if run.status not in {RunStatus.FAILED, RunStatus.REJECTED}:
            continue
        failed = first_failed.get(run.run_key)
        name, message = (failed.name, failed.error or run.error) if failed else ("", run.error)
        key = (name, _VARIES.sub("…", message))
        known = groups.get(key)
        groups[key] = FailureGroup(
            name,
            known.message if known else message,
            known.count + 1 if known else 1,
            known.dag_run_id if known else run.dag_run_id,
            known.at if known else run.finished_at,
        )
    return sorted(groups.values(), key=lambda group: -group.count)
