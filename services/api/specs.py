"""Parsed specs, kept while they are in use: the same text means the same dag."""

import threading
from collections import OrderedDict

from shared.spec import Loaded, load

__all__ = ["SpecCache"]


class SpecCache:
    """The last ``size`` parsed specs by hash and the names they were read under."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str | None], Loaded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def parse(self, spec_hash: str, text: str, *, file_name: str, dag_name: str | None = None) -> Loaded:
        """Return ``text`` parsed; ``spec_hash`` must be its hash."""
        key = (spec_hash, file_name, dag_name)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        loaded = load(text, file_name=file_name, dag_name=dag_name)
        with self._lock:
            self._kept[key] = loaded
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return loaded
