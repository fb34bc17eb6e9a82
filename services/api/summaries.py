"""Runs as lists show them, as JSON, each made once per version of the run.

People and dashboards ask for the same thousand runs again and again, and few of them changed meanwhile.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.api import shapes_runs
from services.api.operations import json_bytes
from services.api.reasons import add_reasons
from shared.status import RunStatus

if TYPE_CHECKING:
    from services.api.operations import Call
    from shared.store.reads import Listed

__all__ = ["Summaries"]

_KEPT = 20_000
"""About 10 MB, and twenty of the longest lists."""


class Summaries:
    """What was made of runs lately; safe to use from many threads."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, bytes]] = {}

    def json(self, call: "Call", listed: "Sequence[Listed]") -> bytes:
        """Return the runs' summaries, in their order, with commas between; a run that is gone is left out."""
        kept = self._made
        found = [kept.get(run.run_key) for run in listed]
        known = [made[1] if made and made[0] == run.version else None for run, made in zip(listed, found, strict=True)]
        fresh = self._make(call, [run.run_key for run, made in zip(listed, known, strict=True) if made is None])
        shown = [made or fresh.get(run.run_key) for run, made in zip(listed, known, strict=True)]
        return b",".join([each for each in shown if each is not None])

    def _make(self, call: "Call", run_keys: Sequence[str]) -> dict[str, bytes]:
        runs = list(call.deps.reads.runs_by_key(run_keys).values())
        shapes = [shapes_runs.summary(run, call.deps.zone) for run in runs]
        add_reasons(call, runs, shapes)
        made = {run.run_key: json_bytes(shape) for run, shape in zip(runs, shapes, strict=True)}
        if len(self._made) + len(made) > _KEPT:
            self._made.clear()
        # Why a run waits is another answer each time, though the run is the same.
        lasting = [run for run in runs if run.status is not RunStatus.QUEUED]
        self._made.update({run.run_key: (run.version, made[run.run_key]) for run in lasting})
        return made
