"""Runs as lists show them, as JSON, each made once per version of the run.

People and dashboards ask for the same thousand runs again and again, and few of them changed meanwhile.
"""

from collections.abc import Callable, Iterable, Sequence

from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, RunRow

__all__ = ["Summaries"]

_KEPT = 20_000
"""About 10 MB, and twenty of the longest lists."""


class Summaries:
    """What was made of runs lately; safe to use from many threads."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._made)

    def json(
        self, listed: Sequence[ListedRunRow], make: Callable[[Sequence[str]], Iterable[tuple[RunRow, bytes]]]
    ) -> bytes:
        """Return the runs' summaries, in their order, with commas between; a run that is gone is left out.

        ``make`` reads runs by their keys, and returns those that are there with what is shown of them.
        """
        kept = self._made
        found = [kept.get(run.run_key) for run in listed]
        known = [made[1] if made and made[0] == run.version else None for run, made in zip(listed, found, strict=True)]
        missing = [run.run_key for run, made in zip(listed, known, strict=True) if made is None]
        fresh = self._keep(make(missing)) if missing else {}
        shown = [made or fresh.get(run.run_key) for run, made in zip(listed, known, strict=True)]
        return b",".join([each for each in shown if each is not None])

    def _keep(self, made: Iterable[tuple[RunRow, bytes]]) -> dict[str, bytes]:
        fresh = {run.run_key: (run, shown) for run, shown in made}
        if len(self._made) + len(fresh) > _KEPT:
            self._made.clear()
        # Why a run waits is another answer each time, though the run is the same.
        self._made.update(
            {key: (run.version, shown) for key, (run, shown) in fresh.items() if run.status is not RunStatus.QUEUED}
        )
        return {key: shown for key, (_, shown) in fresh.items()}
