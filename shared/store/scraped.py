"""Asks the database for a scrape of metrics or a probe, which must be answered even if the database does not."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from shared.errors import StoreUnavailable

__all__ = ["PROBE_WAIT_S", "Scraped"]

PROBE_WAIT_S = 2.0
"""How long a readiness probe waits for the database. In ``deploy/k8s`` probes time out after 4 s."""
T = TypeVar("T")


class Scraped(Generic[T]):
    """What ``ask`` returns, asked in a thread of its own, and never while an earlier question is open.

    ``kept_s``: the shortest time between two questions, however often metrics are scraped. ``wait_s``: for how long
    after its beginning a question keeps scrapes waiting. Prometheus gives a scrape up after 10 s and takes the process
    for down, so all questions of one process together must wait less.
    """

    def __init__(self, ask: Callable[[], T], *, kept_s: float = 0.0, wait_s: float = 1.0) -> None:
        self._ask, self._kept_s, self._wait_s = ask, kept_s, wait_s
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None
        self._asked_s = self._until_s = 0.0

    def get(self) -> T | None:
        """Return the answer, or ``None`` while the database is unavailable or too slow."""
        with self._lock:
            now = time.monotonic()
            if self._answer is None or (self._answer.done() and now >= self._until_s):
                asked: Future[T] = Future()
                threading.Thread(target=self._settle, args=(asked,), name="scraped", daemon=True).start()
                # Only now: where no thread can be started, the next call asks again.
                self._answer, self._asked_s = asked, now
            answer = self._answer
        try:
            return answer.result(max(0.0, self._asked_s + self._wait_s - now))
        except (StoreUnavailable, TimeoutError):
            return None

    def _settle(self, answer: "Future[T]") -> None:
        try:
            found = self._ask()
        except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
            self._until_s = time.monotonic() + self._kept_s
            answer.set_exception(error)
        else:
            self._until_s = time.monotonic() + self._kept_s
            answer.set_result(found)
