"""What a worker counts about itself. The composition root decides who reads it."""

import threading
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Totals since the process began, by name; ``finished.<outcome>`` for each outcome."""

    values: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str) -> None:
        with self._lock:
            self.values[name] = self.values.get(name, 0) + 1
