"""Cache of the JSON of runs for lists, made once per version of a run.

Users and dashboards request the same thousand runs again and again, and few of these runs have changed.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, RunRow

__all__ = ["Summaries"]

_KEPT = 20_000
"""How many runs are cached: usually about 10 MB, enough for twenty lists of the maximum length."""
_ROOM_BYTES = 32 * 1024 * 1024
"""How much JSON is cached: that of a run has its parameters, and so the payload of a webhook."""
_MAY_WAIT = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


class Summaries:
    """The JSON of recently listed runs. Thread-safe."""

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._made: dict[str, tuple[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._made)

    def json(
        self, listed: Sequence[ListedRunRow], make: Callable[[Sequence[str]], Iterable[tuple[RunRow, bytes]]]
    ) -> bytes:
        """Return the JSON of the listed runs, in their order, with commas between. Deleted runs are omitted.

        ``make`` reads runs by key, and returns each run that exists with its JSON.
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
        # Not runs that may wait: for what changes without a new version of the run.
        kept = {key: (run.version, shown) for key, (run, shown) in fresh.items() if run.status not in _MAY_WAIT}
        size = sum(len(shown) for _, shown in kept.values())
        with self._lock:
            for key in kept.keys() & self._made.keys():
                self._held_bytes -= len(self._made.pop(key)[1])
            if len(self._made) + len(kept) > _KEPT or self._held_bytes + size > self._room_bytes:
                self._made.clear()
                self._held_bytes = 0
            if size <= self._room_bytes:
                self._made.update(kept)
                self._held_bytes += size
        return {key: shown for key, (_, shown) in fresh.items()}
