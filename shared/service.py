"""Background threads that run until they are asked to stop, and how long clients wait between tries."""

import logging
import random
import sys
import threading
from collections.abc import Callable
from functools import partial

__all__ = ["Background", "WatchedThread", "backoff_s", "wait_for_stop"]

_log = logging.getLogger(__name__)

_JOIN_S = 10

_random = random.SystemRandom()
"""Not the module's own generator, whose state belongs to whoever seeds it; forked processes differ as well."""


_WAIT_S = 10.0 if sys.platform == "linux" else 0.5
"""Elsewhere a signal does not end a wait for a lock."""


class WatchedThread(threading.Thread):
    """A daemon thread. If its body raises, it logs the error, calls ``on_death`` and ends.

    A process whose loops have ended must not look alive.
    """

    def __init__(self, name: str, body: Callable[[], None], on_death: Callable[[], None] = lambda: None) -> None:
        super().__init__(target=body, name=name, daemon=True)
        self._on_death = on_death

    def run(self) -> None:
        try:
            super().run()
        except Exception:  # noqa: BLE001 - a bug in Dagway, whatever it was
            _log.exception("thread.died", extra={"loop": self.name})
            self._on_death()


class Background:
    """A watched thread that runs ``body(stop)``, where ``stop`` is an event that asks it to end.

    ``start`` may be called at most once; ``stop`` may be called without ``start``.

    ``wake`` is called when the stop event has been set, to end a wait of the body for something else.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        on_death: Callable[[], None],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = threading.Event()
        self._wake = wake
        self._thread = WatchedThread(name, partial(body, self._stop), on_death)
        self._started = False

    def start(self) -> None:
        self._started = True
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Set the stop event without waiting for the thread."""
        self._stop.set()
        self._wake()

    def stop(self) -> None:
        """Set the stop event, and wait at most 10 s for the thread to end."""
        self.ask_to_stop()
        if self._started:
            self._thread.join(_JOIN_S)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


def backoff_s(tries: int, *, first_s: float = 0.05, cap_s: float = 5.0) -> float:
    """Return how many seconds to wait after ``tries`` failed tries. Full jitter spreads the clients over time.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return _random.uniform(first_s, max(first_s, min(cap_s, first_s * 2 ** min(tries, 16))))


def wait_for_stop(stop: threading.Event) -> None:
    """Wait until ``stop`` is set. For the main thread, which has to run the handlers of signals meanwhile."""
    while not stop.wait(_WAIT_S):
        pass
