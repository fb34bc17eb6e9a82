"""Runs as this process last committed them: the next decision about one then reads its row, and not all its nodes.

What was kept counts only while the row is still at its version, which every decision about a run raises, whoever made
it. The one thing that changes without is the moment a task that was late was sent; no decision depends on it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from services.scheduler.core.model import Run
from services.scheduler.core.plan import Plan

__all__ = ["Recent"]

_MOST_NODES = 20_000
_MOST_OUTPUT_CHARS = 65_536
"""A run whose steps said more is read again, rather than fill the memory."""


class Recent:
    """A bounded number of unfinished runs, shared by all threads of a scheduler."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._nodes = 0
        self._lock = Lock()

    def get(self, run_key: str, version: int, plan: Plan) -> Run | None:
        """Return a run, if it is known at this version and with this plan: its dag's file may have been renamed."""
        run = self._runs.get(run_key)
        return run if run is not None and run.version == version and run.plan is plan else None

    def keep(self, runs: Iterable[Run]) -> None:
        """Remember runs as they were committed; those that are over are forgotten."""
        with self._lock:
            for run in runs:
                former = self._runs.pop(run.run_key, None)
                if former is not None:
                    self._nodes -= len(former.nodes)
                newest = former if former is not None and former.version > run.version else run
                if newest.status.active and _output_chars(newest) <= _MOST_OUTPUT_CHARS:
                    self._runs[run.run_key] = newest
                    self._nodes += len(newest.nodes)
            while self._nodes > _MOST_NODES:
                _, oldest = self._runs.popitem(last=False)
                self._nodes -= len(oldest.nodes)


def _output_chars(run: Run) -> int:
    return sum(len(text) for node in run.nodes if node.outputs for text in node.outputs.values())
