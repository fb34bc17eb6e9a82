"""Reports failed logins to the schedulers, which count them for all gateways, and reads how long a guesser has to wait.

Reports are sent from a thread of their own, all that wait in one command and at most one command a second: no login
waits for them, and a flood of guesses does not fill the schedulers' queue. While the broker or the database is
unavailable, only the gateway's own counts hold.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from shared.contracts.actors import SYSTEM
from shared.contracts.commands.accounts import CountFailures, FailureCount
from shared.errors import DagwayError
from shared.login_failures import Guesser
from shared.service import WatchedThread
from shared.store.reads.reader import Reads

if TYPE_CHECKING:
    from services.api.command_client import Commands

__all__ = ["SharedFailures"]

_PAUSE_S = 1.0
_MOST_IN_COMMAND = 500
_MOST = 10_000
_FRESH_S = 1.0
"""For how long a wait that was read counts, so that not every request with a static token reads the database."""
_log = logging.getLogger(__name__)


class SharedFailures:
    """The counts of all gateways, as far as this one knows them."""

    def __init__(self, reads: Reads, commands: "Commands", clock: Callable[[], datetime]) -> None:
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._change = threading.Condition()
        self._failed: dict[Guesser, int] = {}
        self._forgiven: dict[Guesser, None] = {}
        self._thread: WatchedThread | None = None
        self._waits: OrderedDict[Guesser, tuple[float, datetime | None]] = OrderedDict()

    def wait_s(self, guessers: Iterable[Guesser]) -> float:
        """Return for how many seconds these guessers still have to wait, by the counts in the database."""
        now = self._clock()
        ends = [until for until in map(self._wait_until, guessers) if until is not None]
        return max((until - now).total_seconds() for until in ends) if ends else 0

    def _wait_until(self, guesser: Guesser) -> datetime | None:
        now = time.monotonic()
        with self._change:
            read_at, known = self._waits.get(guesser, (now - _FRESH_S, None))
        if now - read_at < _FRESH_S:
            return known
        try:
            known = self._reads.login_wait(guesser.digest)
        except DagwayError as error:
            _log.info("auth.failures_unread", extra={"error": str(error)})
        with self._change:
            self._waits[guesser] = (now, known)
            while len(self._waits) > _MOST:
                self._waits.popitem(last=False)
        return known

    def failed(self, guessers: Iterable[Guesser]) -> None:
        """Report a failure for each of these guessers. Never waits and never raises."""
        with self._change:
            for guesser in guessers:
                if guesser in self._failed or len(self._failed) < _MOST:
                    self._failed[guesser] = self._failed.get(guesser, 0) + 1
            self._wake()

    def knows(self, guesser: Guesser) -> bool:
        """Return whether the database had failures of a guesser when its wait was last read."""
        with self._change:
            return self._waits.get(guesser, (0, None))[1] is not None

    def succeeded(self, guesser: Guesser) -> None:
        """Report that the failures of a guesser are forgiven."""
        with self._change:
            self._failed.pop(guesser, None)
            self._waits.pop(guesser, None)
            self._forgiven[guesser] = None
            self._wake()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = WatchedThread("api-login-failures", self._run)
            self._thread.start()
        self._change.notify()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._failed or self._forgiven)
                forgiven = list(self._forgiven)[:_MOST_IN_COMMAND]
                failed = dict(list(self._failed.items())[:_MOST_IN_COMMAND])
                for guesser in forgiven:
                    del self._forgiven[guesser]
                for guesser in failed:
                    del self._failed[guesser]
            self._send(forgiven, failed)
            pause.wait(_PAUSE_S)

    def _send(self, forgiven: Iterable[Guesser], failed: dict[Guesser, int]) -> None:
        counts = (FailureCount(guesser=each.digest, kind=each.kind, count=count) for each, count in failed.items())
        digests = tuple(each.digest for each in forgiven)
        command = CountFailures(by=SYSTEM.name, actor=SYSTEM, forgiven=digests, failed=tuple(counts))
        try:
            self._commands.wait_for_confirm(self._commands.send(command))
        except DagwayError as error:
            _log.info("auth.failures_lost", extra={"failures": sum(failed.values()), "error": str(error)})
