"""Sends this scheduler's markers, and keeps its mark: up to which time it has recorded the reports that it received."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.deciding.post_commit import NEVER, PostCommit
from services.scheduler.deciding.report_queues import ReportQueues
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.listening import HeartbeatListener, heartbeat_queue
from services.scheduler.liveness.report_marks import AnsweredMarker, Gone, peer_of, recorded_until
from shared.contracts.codec import encode
from shared.contracts.markers import Marker
from shared.errors import Unavailable
from shared.ids import new_run_id
from shared.transport.base import HEARTBEATS, BrokerQueue, Outgoing, Transport, tap_address
from shared.transport.pending_reply import PendingReply

__all__ = ["Marks"]

_SILENT_AFTER = timedelta(seconds=3)
"""If a scheduler has written no heartbeat for this time, the others ask the broker for its session."""
_SILENT_AFTER_IDLE = timedelta(seconds=5)
"""The same while no attempt is open: passes over the leases are then rarer, and nothing can be lost."""
_KEPT = 200
_CALM_PERIODS = 5
"""How many periods pass between two markers in the reports' queues while nobody waits for them."""
_IDLE_PERIODS = 15
"""The same while no attempt is open, so that nothing can be lost."""
_IDLE_PERIODS_HEARD = 3
"""The same among the heartbeats. It must be less than the longest gap in which no time is lost, which is four periods:
then a worker that dies with the next task is noticed as soon as at any other time."""
_HURRY_S = 10
"""How long markers come quickly after a decision had to wait for one."""


class Marks:
    """Sends markers and writes the mark of one scheduler: until when it has recorded the reports of workers.

    A marker is a message that a scheduler sends into its own queue of heartbeats and into those of reports. Once it was
    delivered, so was everything that workers had sent there before it. An attempt is declared lost only for a time up
    to which the marks of all schedulers reach (ADR 24).

    ``started_at``: when the process began. ``period_s``: the time between two markers. ``urgent()``: whether a worker
    may soon be declared lost. While it is false, fewer markers go to the queues of reports.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], datetime],
        instance_id: str,
        *,
        listener: HeartbeatListener,
        hearing: Hearing,
        started_at: datetime,
        period_s: float,
        report_queues: ReportQueues,
        urgent: Callable[[], bool],
    ) -> None:
        self._transport, self._clock, self._instance_id = transport, clock, instance_id
        self._listener, self._hearing = listener, hearing
        self._period_s, self._report_queues, self._urgent = period_s, report_queues, urgent
        self._own_tap = tap_address(HEARTBEATS, heartbeat_queue(instance_id))
        self.idle = False
        """Whether no attempt is open, as far as this scheduler knows. While it is true, fewer markers are sent."""
        self._awake = threading.Event()
        self._hurried_until_s = float("-inf")
        self._lock = threading.Lock()
        self._session = 0
        self._session_since = started_at
        """When the present session began; without one, when the last one or the process began."""
        self._returned: deque[tuple[datetime, float]] = deque(maxlen=_KEPT)
        self._reports_until: datetime | None = None
        self._asked: list[tuple[datetime, list[PendingReply]]] = []
        """When markers were sent, one to each reports' queue, and those that are not answered yet."""
        self._last_asked: datetime | None = None
        self._answered: deque[AnsweredMarker] = deque(maxlen=_KEPT)
        self._gone: dict[str, Gone] = {}
        self._recorded_through_s: Callable[[], float] = lambda: float("-inf")
        self._catch_up: Callable[[], None] = lambda: None
        listener.on_marker, listener.on_news = self._note, self._be_busy

    def watch(self, recorded_through_s: Callable[[], float], catch_up: Callable[[], None]) -> None:
        """Follow the intake of reports, which itself needs these marks. Call it before ``run``.

        ``recorded_through_s()``: the time of the monotonic clock before which every report that arrived is recorded;
        ``catch_up()`` brings it up to now.
        """
        self._recorded_through_s, self._catch_up = recorded_through_s, catch_up

    def follow(self, after: PostCommit) -> None:
        """Send markers at the normal rate again as soon as an attempt may be open."""
        if after.outgoing:
            self._be_busy()

    def _be_busy(self) -> None:
        self.idle = False
        self._awake.set()

    @property
    def hurried(self) -> bool:
        """Whether a decision had to wait for a marker, within the last seconds."""
        return time.monotonic() < self._hurried_until_s

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        """Send markers until ``stop``, a third as many while idle; the body of a background thread."""
        while not stop.wait(self._period_s):
            self._awake.clear()
            if self.idle and not self._urgent():
                self._awake.wait(self._period_s * (_IDLE_PERIODS_HEARD - 1))
            if stop.is_set():
                return
            self.send()

    def send(self) -> None:
        """Send a marker among the heartbeats that this scheduler hears, and some among the reports; collect answers."""
        session, now = self._listener.session, self._clock()
        with self._lock:
            # If the clock was set back to before the session, nothing would be proven until it is there again.
            set_back = now < self._session_since
            if session != self._session or set_back:
                self._session, self._reports_until = session, None
                self._session_since = now if session or set_back else self._session_since
                self._returned.clear()
            if set_back:
                self._answered.clear()
                self._drop_asked()
        if not session:
            return
        number = self._hearing.send(session, now, time.monotonic())
        self._transport.send(self._marker(self._own_tap, number))
        self._collect()
        if self._is_time(now):
            asked = [self._transport.request(self._marker(queue, number)) for queue in self._report_queues.queues]
            self._asked.append((now, asked))
            self._last_asked = now

    def _drop_asked(self) -> None:
        for _, asked in self._asked:
            _abandon(asked)
        self._asked.clear()

    def _is_time(self, now: datetime) -> bool:
        """Return whether the next markers are due in the reports' queues."""
        if self._last_asked is None:
            return True
        calm = not self.hurried and not self._urgent()
        # With a long backlog, markers need long, and fewer suffice.
        oldest = (now - self._asked[0][0]).total_seconds() if self._asked else 0.0
        periods = 1 if not calm else _IDLE_PERIODS if self.idle else _CALM_PERIODS
        pause_s = max(self._period_s * periods, oldest / 4)
        waited_s = (now - self._last_asked).total_seconds()
        # Two calls are a period apart, more or less. The clock may have been set back.
        return waited_s < 0 or waited_s >= pause_s - self._period_s / 2

    def _marker(self, queue: BrokerQueue, number: int) -> Outgoing:
        name = new_run_id()
        body = encode(Marker(scheduler=self._instance_id, number=number), id=name, at=self._clock())
        return Outgoing(queue, body, name)

    def _collect(self) -> None:
        for place in reversed(range(len(self._asked))):
            sent_at, asked = self._asked[place]
            try:
                asked[:] = [one for one in asked if one.poll() is None]
            except Unavailable:
                _abandon(asked)
                del self._asked[place]
                continue
            if not asked:
                with self._lock:
                    self._answered.append(AnsweredMarker(sent_at, self._clock()))
                # Earlier markers were delivered before these, whether or not their answers come.
                for _, earlier in self._asked[:place]:
                    _abandon(earlier)
                del self._asked[: place + 1]
                return

    def _note(self, sent_at: datetime, now_s: float) -> None:
        with self._lock:
            if self._session_since <= sent_at:
                self._returned.append((sent_at, now_s))
        self._catch_up()

    # -- the table ``services`` ------------------------------------------------------------------

    def row(self) -> dict[str, Any]:
        """Return the columns that tell the other schedulers this one's mark."""
        through_s = self._recorded_through_s()
        with self._lock:
            while self._returned and self._returned[0][1] <= through_s:
                self._reports_until, _ = self._returned.popleft()
            return {"reports_until": self._reports_until, "session_since": self._session_since}

    def recorded_until(self, rows: Iterable[Mapping[str, Any]]) -> datetime:
        """Return the time before which all sent reports are recorded. ``rows``: all schedulers, this one included."""
        rows = list(rows)
        self._report_queues.note(rows)
        peers = [peer_of(row, self._gone.get(row["instance_id"])) for row in rows]
        with self._lock:
            return recorded_until(self._answered, peers) if peers else NEVER

    def recorded_until_for_intake(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> datetime:
        """Like ``recorded_until``, for the thread that records this scheduler's reports, in their order.

        What was sent to this scheduler before the report in hand, in the same queue, is recorded. So a scheduler
        without peers that has one queue need not wait for a marker.
        """
        if len(self._report_queues.queues) == 1 and all(row["instance_id"] == self._instance_id for row in rows):
            return now
        self._hurried_until_s = time.monotonic() + _HURRY_S
        return self.recorded_until(rows)

    def doubtful(self, rows: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
        """Return the other schedulers whose session may be over; ``ask`` finds out.

        They wrote no heartbeat for some seconds, or their row has no mark.
        """
        silent_after = _SILENT_AFTER_IDLE if self.idle else _SILENT_AFTER
        return [
            row["instance_id"]
            for row in rows
            if row["instance_id"] != self._instance_id
            and (row["reports_until"] is None or now - row["heartbeat_at"] > silent_after)
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


def _abandon(asked: Iterable[PendingReply]) -> None:
    for one in asked:
        one.abandon()
