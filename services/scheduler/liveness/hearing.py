"""What this scheduler has provably heard: how long a worker was silent while its heartbeats could be received.

A scheduler sends itself a marker, again and again, through the same exchange and broker queue as the heartbeats. While
markers come back, a heartbeat would have come too. Only this *open time* counts as silence. During an alarm of the
broker, a stall of the link, or while the process itself was frozen, no marker comes back, and no time is counted.
"""

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.deciding.post_commit import NEVER
from shared.contracts.events import Heartbeat

__all__ = ["HeardWorker", "Hearing"]

_KEPT = 1000
_FORGET_AFTER_S = 4 * 3600


@dataclass(frozen=True, slots=True)
class HeardWorker:
    """A worker's newest heartbeat, and when this scheduler first heard that incarnation (the database's time)."""

    newest: Heartbeat
    since: datetime


@dataclass(frozen=True, slots=True)
class _Marker:
    sent_at: datetime
    sent_s: float


class Hearing:
    """Measures the silence of workers in open time. Thread-safe.

    Times that end in ``_s`` are seconds of a monotonic clock. ``gap_s``: if two markers in a row were sent further
    apart, or one needs longer to come back, the time between them is not open. It must be well below a lease, so that a
    worker cannot be cut off unnoticed for long. ``settle_s``: open time after a new session of the broker, in which
    workers reconnect and nobody is silent.
    """

    def __init__(self, *, gap_s: float, settle_s: float) -> None:
        self._gap_s, self._settle_s = gap_s, settle_s
        self._lock = threading.Lock()
        self._session = 0
        self._pending: dict[int, _Marker] = {}
        self._last: _Marker | None = None
        self._open_s = 0.0
        self._settled_s = 0.0
        """The open time at which the present session has settled."""
        self._heard_s: dict[str, float] = {}
        self._fresh: set[str] = set()
        """The workers heard since the last marker came back."""
        self._workers: dict[str, HeardWorker] = {}
        self.until = NEVER
        """Every heartbeat that the broker received before this time has been heard."""

    # -- markers --------------------------------------------------------------------------------

    def send(self, session: int, now: datetime, now_s: float) -> int:
        """Return the number of a marker that is sent now. ``session``: the session at the broker in which it is sent.

        The number is random, so that nobody else can send a marker that counts.
        """
        with self._lock:
            if session != self._session:
                self._session, self._last, self._pending = session, None, {}
                self._settled_s = self._open_s + self._settle_s
            number = secrets.randbits(63)
            # One that is so late proves nothing any more.
            self._pending = {n: one for n, one in self._pending.items() if now_s - one.sent_s <= self._gap_s}
            self._pending[number] = _Marker(now, now_s)
            return number

    def returned(self, number: int, now_s: float) -> datetime | None:
        """Note that a marker came back; return when it was sent, or ``None`` if it proves nothing."""
        with self._lock:
            marker = self._pending.pop(number, None)
            if marker is None or now_s - marker.sent_s > self._gap_s:
                return None
            last, self._last = self._last, marker
            if last is not None and 0 <= marker.sent_s - last.sent_s <= self._gap_s:
                self._open_s += marker.sent_s - last.sent_s
            self._heard_s |= dict.fromkeys(self._fresh, self._open_s)
            self._fresh.clear()
            if len(self._workers) > _KEPT:
                self._forget()
            self.until = marker.sent_at
            return marker.sent_at

    def _forget(self) -> None:
        """Forget workers that were silent for hours: their leases ended long ago, and unknown workers are silent."""
        for worker_id in [one for one in self._workers if self._silence_s(one) > _FORGET_AFTER_S]:
            del self._workers[worker_id]
            self._heard_s.pop(worker_id, None)

    # -- heartbeats -----------------------------------------------------------------------------

    def hear(self, beat: Heartbeat, now: datetime) -> None:
        """Note a heartbeat."""
        with self._lock:
            self._fresh.add(beat.worker_id)
            known = self._workers.get(beat.worker_id)
            if known is None or known.newest.incarnation != beat.incarnation:
                self._workers[beat.worker_id] = HeardWorker(beat, now)
            elif known.newest.at <= beat.at:
                # After the clock was set back, the worker counts as heard since then. Else the attempts of its former
                # process would not be judged until the clock is there again.
                self._workers[beat.worker_id] = HeardWorker(beat, min(known.since, now))

    def worker(self, worker_id: str) -> HeardWorker | None:
        """Return what this scheduler heard of a worker last."""
        return self._workers.get(worker_id)

    def in_hand(self, lease_s: float) -> set[str]:
        """Return the tokens of all attempts and tasks that workers said they hold, if they are not silent since."""
        with self._lock:
            beats = [heard.newest for one, heard in self._workers.items() if self._silence_s(one) < lease_s]
        return {token for beat in beats for token in (*beat.tokens, *beat.kept)}

    def silent(self, worker_id: str, lease_s: float) -> bool:
        """Return whether a worker was silent for a whole lease of open time."""
        with self._lock:
            return self._silence_s(worker_id) >= lease_s

    def somebody_overdue(self, lease_s: float) -> bool:
        """Return whether a worker that has not stopped was silent for half a lease, but not for three."""
        with self._lock:
            return any(
                lease_s / 2 <= self._silence_s(worker_id) <= 3 * lease_s
                for worker_id, heard in self._workers.items()
                if not heard.newest.stopped
            )

    def somebody_began(self, after: datetime) -> bool:
        """Return whether a worker process was first heard after this time: its former process may soon be judged."""
        with self._lock:
            return any(heard.since > after for heard in self._workers.values())

    def _silence_s(self, worker_id: str) -> float:
        if worker_id in self._fresh:
            return 0.0
        return self._open_s - max(self._heard_s.get(worker_id, 0.0), self._settled_s)
