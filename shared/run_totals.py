"""How many root runs of a DAG ended in which status, how long they took and how long they were queued; pure.

An end is counted for good: neither the removal of the run nor its retry takes it back. Runs that wait for approval
have not ended, and count only while they wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.status import RunStatus

__all__ = [
    "CHANGES_KEPT",
    "DURATION_BOUNDS_S",
    "UNCOUNTED",
    "WAIT_BOUNDS_S",
    "DagTotals",
    "Distribution",
    "StatusChange",
]

DURATION_BOUNDS_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
WAIT_BOUNDS_S = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Those of Dagu. They cannot change without counting the history again: see ``run_totals``."""

CHANGES_KEPT = timedelta(hours=1)
"""For how long the changes of a removed run are kept. Schedulers count every minute, and a gateway that has not counted
for half an hour begins anew with what schedulers have counted.
"""

UNCOUNTED = frozenset({RunStatus.NOT_STARTED, RunStatus.RUNNING, RunStatus.QUEUED})
"""Statuses that a run leaves soon. ``Reads.active_counts`` counts their runs instead."""


class StatusChange(NamedTuple):
    """A change of a root run's status. The times and ``run_attempt`` are the run's current ones."""

    dag_name: str
    was: str
    became: str
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    run_attempt: int


@dataclass(slots=True)
class Distribution:
    """A cumulative histogram: ``counts[i]`` runs took at most ``bounds[i]`` seconds, the last count is of all runs."""

    bounds: tuple[float, ...]
    counts: list[int]
    total_s: float = 0.0

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> "Distribution":
        return cls(bounds, [0] * (len(bounds) + 1))

    def add(self, begin: datetime | None, end: datetime | None) -> None:
        """Count one run, unless one of its times is unknown."""
        if begin is None or end is None:
            return
        # The clock may have been set back meanwhile, and the total is a counter: it must not go down.
        seconds = max(0.0, (end - begin).total_seconds())
        for place, bound in enumerate((*self.bounds, float("inf"))):
            self.counts[place] += seconds <= bound
        self.total_s += seconds

    def merge(self, other: "Distribution") -> None:
        """Count the runs of another distribution with the same bounds too."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total_s += other.total_s


@dataclass(slots=True)
class DagTotals:
    """The totals of one DAG."""

    runs: dict[RunStatus, int] = field(default_factory=dict)
    durations: Distribution = field(default_factory=lambda: Distribution.empty(DURATION_BOUNDS_S))
    """From started to finished, of runs that have ended."""
    waits: Distribution = field(default_factory=lambda: Distribution.empty(WAIT_BOUNDS_S))
    """From queued to started, of runs in their first run attempt: after a retry the times do not belong together."""

    def count(self, change: StatusChange) -> None:
        """Count one change of a run of this DAG."""
        was, became = RunStatus(change.was), RunStatus(change.became)
        if was is became:
            return
        if became not in UNCOUNTED:
            self._add(became, 1)
        if was is RunStatus.WAITING:
            self._add(was, -1)
        # Only the first run attempt: when a run continues after approvals, it is queued without waiting in a queue.
        if was is RunStatus.QUEUED and became is RunStatus.RUNNING and change.run_attempt == 1:
            self.waits.add(change.queued_at, change.started_at)
        if was.active and not became.active:
            self.durations.add(change.started_at, change.finished_at)

    def add(self, other: "DagTotals") -> None:
        """Count what the other totals count too."""
        for status, runs in other.runs.items():
            self._add(status, runs)
        self.durations.merge(other.durations)
        self.waits.merge(other.waits)

    def _add(self, status: RunStatus, by: int) -> None:
        self.runs[status] = self.runs.get(status, 0) + by

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "DagTotals":
        """Return the totals in a row of the table ``run_totals``."""
        return cls(
            {RunStatus(status): runs for status, runs in row["runs"].items()},
            Distribution(DURATION_BOUNDS_S, list(row["durations"]), row["duration_s"]),
            Distribution(WAIT_BOUNDS_S, list(row["waits"]), row["wait_s"]),
        )

    def to_row(self, dag_name: str) -> dict[str, Any]:
        """Return the row of the table ``run_totals``."""
        return {
            "dag_name": dag_name,
            "runs": {status.value: runs for status, runs in self.runs.items()},
            "durations": self.durations.counts,
            "duration_s": self.durations.total_s,
            "waits": self.waits.counts,
            "wait_s": self.waits.total_s,
        }
