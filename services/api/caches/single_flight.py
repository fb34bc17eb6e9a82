"""The same question asked by many at once is answered once.

Whoever asks joins an answer that has not begun to be made yet, never one already under way: it may
miss what the asker has just written. So under load at most two of one kind are at work or waiting.
"""

import threading
from collections.abc import Callable, Hashable

__all__ = ["SingleFlight"]

_STRIPES = 64


class _Answer:
    def __init__(self) -> None:
        self.made = threading.Event()
        self.content: bytes | None = None
        self.error: Exception | None = None


class SingleFlight:
    """Shares answers between threads; keeps none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[Hashable, _Answer] = {}
        self._at_work = [threading.Lock() for _ in range(_STRIPES)]

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return ``make()``, called after this call began, by this thread or another with the same ``key``."""
        with self._lock:
            answer = self._next.get(key)
            mine = answer is None
            if answer is None:
                answer = self._next[key] = _Answer()
        if mine:
            with self._at_work[hash(key) % _STRIPES]:
                with self._lock:
                    del self._next[key]
                try:
                    answer.content = make()
                except Exception as error:
                    answer.error = error
                    raise
                finally:
                    answer.made.set()
        else:
            answer.made.wait()
        if answer.error is not None:
            raise answer.error
        return answer.content or b""
