"""The attempts that run on this worker, or whose end report is not delivered yet."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain

from services.worker.process.stop_request import StopKind, StopRequest

__all__ = ["AttemptRegistry"]

_REMEMBERED = 10_000
"""How many tokens of ended attempts are remembered, to recognise copies of their tasks.

Also how many tokens of stops are remembered that arrived before their task.
"""


class AttemptRegistry:
    """Attempts by token; each heartbeat renews the leases of ``tokens()``. Thread-safe.

    ``on_begin()`` is called for each attempt that begins after another task or none.
    """

    def __init__(self, on_begin: Callable[[], None] = lambda: None) -> None:
        self._on_begin = on_begin
        self._changed = threading.Condition()
        self._running: dict[str, StopRequest] = {}
        self._ending = False
        self._unreported: dict[str, tuple[str, ...]] = {}
        """By attempt with a report in the spool: all attempts that are reported there."""
        self._stopped_early: OrderedDict[str, StopKind] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()

    def begin(self, token: str) -> StopRequest | StopKind | None:
        """Register an attempt and return its stop request, or return why the attempt must not start.

        Returns ``None`` if the task is a copy (the attempt runs or has run here), and the kind of the stop if a stop
        arrived before the task.
        """
        with self._changed:
            if token in self._running or token in self._done:
                return None
            if (kind := self._stopped_early.get(token)) is not None:
                return kind
            stop = self._running[token] = StopRequest()
            self._changed.notify_all()
        self._on_begin()
        return stop

    def go_on(self, token: str, following: str) -> StopRequest | None:
        """Register the attempt ``following`` beside the running attempt ``token``, after which it is to run.

        Returns ``None`` if either of them is to be stopped, or if ``following`` is known already.
        """
        with self._changed:
            running = self._running.get(token)
            if running is None or running.kind is not None or self._ending:
                return None
            if following in self._running or following in self._done or following in self._stopped_early:
                return None
            stop = self._running[following] = StopRequest()
            return stop

    def end(self, token: str, *, reported: bool, given_up: str = "") -> None:
        """Record the end of an attempt, and of the next one in its chain if that was ``given_up``.

        If not ``reported``, the end report is still in the spool, so the lease is renewed until ``delivered``.
        """
        ended = (token, given_up) if given_up else (token,)
        with self._changed:
            if not reported:
                self._unreported[token] = ended
            for each in ended:
                self._running.pop(each, None)
                self._done[each] = None
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
            self._changed.notify_all()

    def drop(self, token: str) -> None:
        """Remove an attempt that did not start because its start could not be reported."""
        with self._changed:
            self._running.pop(token, None)
            self._changed.notify_all()

    def delivered(self, token: str) -> None:
        """Stop renewing the lease of an attempt whose spooled report the broker has confirmed."""
        with self._changed:
            self._unreported.pop(token, None)

    def stop(self, token: str, kind: StopKind) -> bool:
        """Stop an attempt and return whether it runs here.

        If it neither runs nor has run here, the stop is remembered: the task may arrive later.
        """
        with self._changed:
            stop = self._running.get(token)
            if stop is None and token in self._done:
                return False
            if stop is None:
                self._stopped_early[token] = kind
                self._stopped_early.move_to_end(token)
                while len(self._stopped_early) > _REMEMBERED:
                    self._stopped_early.popitem(last=False)
                return False
        stop.request(kind)
        return True

    def stop_all(self, kind: StopKind) -> None:
        """Stop every attempt that runs, and let no chain go on."""
        with self._changed:
            self._ending = True
            stops = list(self._running.values())
        for stop in stops:
            stop.request(kind)

    def wait_idle(self, timeout_s: float | None) -> bool:
        """Wait until no attempt runs; return ``False`` after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout_s)

    def wait_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until no attempt has run for ``quiet_s`` from now on, at most ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                if not self._changed.wait_for(lambda: not self._running, left):
                    return
                left = max(0.0, deadline - time.monotonic())
                if not self._changed.wait_for(lambda: self._running, min(quiet_s, left)):
                    return

    def tokens(self) -> tuple[str, ...]:
        """Return the tokens of all attempts that run or are not reported yet."""
        with self._changed:
            return (*self._running, *chain.from_iterable(self._unreported.values()))
