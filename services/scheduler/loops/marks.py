"""Sends this scheduler's markers, and keeps its mark: up to which time it has recorded the reports that it received."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.loops.hearing import Hearing
from services.scheduler.loops.listening import HeartbeatListener, heartbeat_queue
from services.scheduler.loops.report_marks import Gone, Passed, peer_of, recorded_until
from shared.contracts.codec import encode
from shared.contracts.markers import Marker
from shared.errors import Unavailable
from shared.ids import new_run_id
from shared.transport.base import EVENTS, HEARTBEATS, BrokerQueue, Outgoing, Transport
from shared.transport.pending_reply import PendingReply

__all__ = ["Marks"]

_SILENT_AFTER = timedelta(seconds=3)
"""If a scheduler has written no heartbeat for this time, the others ask the broker for its session."""
_KEPT = 200


class Marks:
    """The markers and the mark of one scheduler.

    ``started_at``: when the process began. ``recorded_through_s()``: the time of the steady clock before which every
    report that arrived is recorded. ``period_s``: the time between two markers.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], datetime],
        instance_id: str,
        *,
        listener: HeartbeatListener,
        hearing: Hearing,
        recorded_through_s: Callable[[], float],
        started_at: datetime,
        period_s: float,
    ) -> None:
        self._transport, self._clock, self._instance_id = transport, clock, instance_id
        self._listener, self._hearing, self._recorded_through_s = listener, hearing, recorded_through_s
        self._period_s = period_s
        self._lock = threading.Lock()
        self._session = 0
        self._session_since = started_at
        """When the present session began; without one, when the last one or the process began."""
        self._returned: deque[tuple[datetime, float]] = deque(maxlen=_KEPT)
        self._reports_until: datetime | None = None
        self._asked: list[tuple[datetime, PendingReply]] = []
        self._passed: deque[Passed] = deque(maxlen=_KEPT)
        self._all_answer = False
        """Whether all schedulers know markers. One of an earlier version would make a dead letter of each."""
        self._gone: dict[str, Gone] = {}
        listener.on_marker = self._note

    def run(self, stop: threading.Event) -> None:
        """Send markers until ``stop``; the body of a background thread."""
        while not stop.wait(self._period_s):
            self.send()

    def send(self) -> None:
        """Send a marker among the heartbeats and one among the reports, and collect answers."""
        session, now = self._listener.session, self._clock()
        with self._lock:
            if session != self._session:
                self._session, self._reports_until = session, None
                self._session_since = now if session else self._session_since
                self._returned.clear()
        if not session:
            return
        number = self._hearing.send(session, now, time.monotonic())
        self._transport.send(self._marker(HEARTBEATS, number))
        self._collect()
        # With a long backlog, markers need long, and fewer suffice.
        oldest = (now - self._asked[0][0]).total_seconds() if self._asked else 0.0
        latest = (now - self._asked[-1][0]).total_seconds() if self._asked else self._period_s
        if self._all_answer and latest >= max(self._period_s, oldest / 4):
            self._asked.append((now, self._transport.request(self._marker(EVENTS, number))))

    def _marker(self, queue: BrokerQueue, number: int) -> Outgoing:
        name = new_run_id()
        body = encode(Marker(scheduler=self._instance_id, number=number), id=name, at=self._clock())
        return Outgoing(queue, body, name)

    def _collect(self) -> None:
        for place in reversed(range(len(self._asked))):
            sent_at, asked = self._asked[place]
            try:
                answer = asked.poll()
            except Unavailable:
                del self._asked[place]
                continue
            if answer is not None:
                with self._lock:
                    self._passed.append(Passed(sent_at, self._clock()))
                # Earlier markers were delivered before this one, whether or not their answers come.
                for _, earlier in self._asked[:place]:
                    earlier.abandon()
                del self._asked[: place + 1]
                return

    def _note(self, sent_at: datetime, now_s: float) -> None:
        with self._lock:
            if self._session_since <= sent_at:
                self._returned.append((sent_at, now_s))

    # -- the table ``services`` ------------------------------------------------------------------

    def row(self) -> dict[str, Any]:
        """Return the columns that tell the other schedulers this one's mark."""
        through_s = self._recorded_through_s()
        with self._lock:
            while self._returned and self._returned[0][1] <= through_s:
                self._reports_until, _ = self._returned.popleft()
            return {"reports_until": self._reports_until, "session_since": self._session_since}

    def reports_until(self, rows: Iterable[Mapping[str, Any]], now: datetime) -> datetime:
        """Return the time before which all sent reports are recorded. ``rows``: all schedulers, this one included."""
        peers = [peer_of(row, self._gone.get(row["instance_id"]), now) for row in rows]
        self._all_answer = all(peer.knows_markers for peer in peers)
        with self._lock:
            return recorded_until(self._passed, peers) if peers else NEVER

    def recorded_until(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> datetime:
        """Like ``reports_until``, for the thread that records this scheduler's reports, in their order.

        What was sent to this scheduler before the report in hand is recorded. So a scheduler without peers need not
        wait for a marker.
        """
        return now if all(row["instance_id"] == self._instance_id for row in rows) else self.reports_until(rows, now)

    def doubtful(self, rows: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
        """Return the schedulers that may have lost their session: they sent nothing lately, or write no mark.

        Schedulers of an earlier version (``session_since`` is ``None``) are left out: no queue shows their session.
        """
        return [
            row["instance_id"]
            for row in rows
            if row["instance_id"] != self._instance_id
            and row["session_since"] is not None
            and (row["reports_until"] is None or now - row["heartbeat_at"] > _SILENT_AFTER)
        ]

    def ask(self, instances: Iterable[str]) -> None:
        """Ask the broker which of these schedulers' sessions are over; forget all others.

        Raises ``BrokerUnavailable``.
        """
        known, self._gone = self._gone, {}
        for instance_id in instances:
            now = self._clock()
            if not self._transport.exists(heartbeat_queue(instance_id)):
                first = known[instance_id].first if instance_id in known else now
                self._gone[instance_id] = Gone(first, now)
