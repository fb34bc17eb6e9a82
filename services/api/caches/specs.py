"""Cache of parsed specs, by the hash of their text."""

import threading
from collections import OrderedDict

from services.api.serving.greenlets import run_in_thread
from shared.language.load import LoadResult, load
from shared.workspaces import plain_name

__all__ = ["SpecCache", "parse_spec"]

_ROOM_CHARS = 16 * 1024 * 1024
"""How long the texts of the kept specs are together. Parsed, a text may take 200 times the memory."""


class SpecCache:
    """The most recently used parsed specs, by hash, file name and DAG name. Thread-safe.

    At most ``size``, whose texts have at most ``room_chars`` characters together; the last one whatever its length.
    """

    def __init__(self, size: int = 2048, room_chars: int = _ROOM_CHARS) -> None:
        self._size = size
        self._room_chars = room_chars
        self._held_chars = 0
        self._chars: dict[tuple[str, str, str | None], int] = {}
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str | None], LoadResult] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, spec_hash: str, *, file_name: str, dag_name: str | None = None) -> LoadResult | None:
        """Return a parsed spec if it is cached: then its text need not be read from the database."""
        with self._lock:
            found = self._kept.get((spec_hash, file_name, dag_name))
            if found is not None:
                self._kept.move_to_end((spec_hash, file_name, dag_name))
            return found

    def parse(self, spec_hash: str, text: str, *, file_name: str, dag_name: str | None = None) -> LoadResult:
        """Parse ``text``, or return it from the cache. ``spec_hash`` is its hash; ``file_name`` has no extension."""
        found = self.get(spec_hash, file_name=file_name, dag_name=dag_name)
        if found is not None:
            return found
        loaded = parse_spec(text, file_name=file_name, dag_name=dag_name)
        key = (spec_hash, file_name, dag_name)
        with self._lock:
            self._held_chars += len(text) - self._chars.get(key, 0)
            self._kept[key], self._chars[key] = loaded, len(text)
            while len(self._kept) > self._size or (self._held_chars > self._room_chars and len(self._kept) > 1):
                oldest, _ = self._kept.popitem(last=False)
                self._held_chars -= self._chars.pop(oldest)
        return loaded


def parse_spec(text: str, *, file_name: str, dag_name: str | None = None) -> LoadResult:
    """Parse ``text`` without keeping it.

    For a text that is only to be checked: parsed, it may take 200 times the memory, and anybody may send others.
    """
    plain, name = plain_name(file_name), plain_name(dag_name) if dag_name else None
    # In a thread, because parsing takes half a second per megabyte.
    return run_in_thread(lambda: load(text, file_name=f"{plain}.yaml" if plain else "", dag_name=name))
