"""Cache of the JSON of the details of runs that have ended, each for one version of its run."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["EndedDetails"]

_ROOM_BYTES = 8 * 1024 * 1024


class _Kept(NamedTuple):
    version: tuple[str, int]
    json: bytes


class EndedDetails:
    """The JSON of the runs that were asked for last, by stored DAG name and run id. Thread-safe.

    Holds at most ``room_bytes`` of JSON, and no JSON that takes more than half of them.
    """

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def json(self, name: tuple[str, str], version: Callable[[], tuple[str, int] | None]) -> bytes | None:
        """Return the JSON of a run if it is kept and its run still has that ``version`` (key and number).

        ``version`` reads it; it is called only if there is JSON for this name.
        """
        with self._lock:
            kept = self._kept.get(name)
        if kept is None:
            return None
        found = version()
        with self._lock:
            if kept.version != found:
                self._forget(name, kept)
                return None
            if name in self._kept:
                self._kept.move_to_end(name)
        return kept.json

    def keep(self, name: tuple[str, str], version: tuple[str, int], json: bytes) -> None:
        """Keep the JSON of a run that has ended, made from this version of it."""
        if len(json) * 2 > self._room_bytes:
            return
        with self._lock:
            self._forget(name, self._kept.get(name))
            self._kept[name] = _Kept(version, json)
            self._held_bytes += len(json)
            while self._held_bytes > self._room_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._held_bytes -= len(oldest.json)

    def _forget(self, name: tuple[str, str], kept: _Kept | None) -> None:
        if kept is not None and self._kept.get(name) is kept:
            del self._kept[name]
            self._held_bytes -= len(kept.json)
