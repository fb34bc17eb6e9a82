"""Single-flight: equal requests at the same time share one query.

A caller only joins a query that has not begun yet. A query that is running may miss what the caller has just written.
So at most one query per key runs and one more waits, whatever the load.
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
    """Shares the results of queries between threads. Results are not cached."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[Hashable, _Answer] = {}
        self._at_work = [threading.Lock() for _ in range(_STRIPES)]

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the result of a ``make()`` that begins after this call, here or in a thread with an equal ``key``."""
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
