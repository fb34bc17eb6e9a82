"""Sends audit entries to the schedulers, in the background: a gateway cannot write to the database.

A client never waits for it. Equal entries within two seconds become one entry with a count, and memory is bounded:
entries that find no place, for example while the broker is unavailable, are dropped and counted by a metric.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from shared.contracts.actors import Actor
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.contracts.codec import encode
from shared.errors import Unavailable
from shared.ids import new_run_id
from shared.service import WatchedThread
from shared.transport.base import AUDIT, Outgoing, Transport

__all__ = ["AuditSender"]

_log = logging.getLogger(__name__)

_WINDOW_S = 2.0
"""For how long equal entries are collected before they are sent."""
_MOST = 2000
"""How many entries wait in memory at most."""
_MOST_TARGETS = 20
"""After this many targets, further entries of the same actor, address, operation and code name no target."""
_ACCEPT_S = 5.0
_AGAIN_S = 1.0
_LAST_S = 2.0

_Key = tuple[str, ...]


class AuditSender:
    """Collects entries and sends them from one thread, which starts with the first entry."""

    def __init__(self, transport: Transport, clock: Callable[[], datetime], *, window_s: float = _WINDOW_S) -> None:
        self._transport = transport
        self._clock = clock
        self._window_s = window_s
        self.on_drop: Callable[[int], object] = lambda _count: None
        """Called with the number of requests whose entry is dropped."""
        self.failures = 0
        """How often in succession the broker did not take all entries; they are sent again."""
        self._change = threading.Condition()
        self._open: dict[_Key, dict[AuditTarget, AuditEntry]] = {}
        """Entries of the present window, by actor, address, operation, outcome and code, then by target."""
        self._waiting = 0
        self._ready: deque[tuple[int, Outgoing]] = deque()
        """Messages to send, each with the count of its entry."""
        self._thread: WatchedThread | None = None
        self._closed = False

    def add(self, entry: AuditEntry) -> None:
        """Take an entry, to be sent soon. Never waits and never raises."""
        key = _key(entry)
        with self._change:
            targets = self._open.get(key, {})
            if entry.target not in targets and len(targets) >= _MOST_TARGETS:
                entry = entry.model_copy(update={"target": AuditTarget(kind=entry.target.kind)})
            known = targets.get(entry.target)
            if known is not None:
                targets[entry.target] = known.model_copy(update={"count": known.count + entry.count})
                return
            if self._waiting >= _MOST or self._closed:
                self.on_drop(entry.count)
                return
            self._open.setdefault(key, {})[entry.target] = entry
            self._waiting += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = WatchedThread("api-audit", self._run)
                self._thread.start()

    def close(self) -> None:
        """Send what waits, for at most 2 s, and take no more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_LAST_S)

    def _run(self) -> None:
        wait_s, closed = self._window_s, False
        while not closed:
            with self._change:
                closed = self._change.wait_for(lambda: self._closed, wait_s)
                self._end_window()
            wait_s = self._window_s if self._send() else _AGAIN_S
        if self._ready:
            self.on_drop(sum(count for count, _ in self._ready))

    def _end_window(self) -> None:
        at = self._clock()
        for targets in self._open.values():
            for entry in targets.values():
                message_id = new_run_id()
                self._ready.append((entry.count, Outgoing(AUDIT, encode(entry, id=message_id, at=at), message_id)))
        self._open.clear()

    def _send(self) -> bool:
        """Send the messages that are ready; return whether the broker has accepted all of them."""
        futures = [(item, self._transport.send(item[1])) for item in self._ready]
        failed: deque[tuple[int, Outgoing]] = deque()
        for item, future in futures:
            try:
                future.result(_ACCEPT_S)
            except (Unavailable, TimeoutError) as error:
                # The message keeps its id, so the entry is recorded once even if the broker has taken it already.
                if not failed and not self.failures:
                    _log.warning("audit.waits", extra={"error": str(error)})
                failed.append(item)
        with self._change:
            self._waiting -= len(futures) - len(failed)
            self._ready = failed
            self.failures = self.failures + 1 if failed else 0
        return not failed


def _key(entry: AuditEntry) -> _Key:
    actor: Actor = entry.actor
    return actor.kind, actor.id, actor.name, actor.address, entry.operation, entry.outcome, entry.code
