"""The markers that a scheduler sends, and what its row says."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.deciding.post_commit import NEVER, PostCommit
from services.scheduler.deciding.report_queues import ReportQueues
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.listening import HeartbeatListener, heartbeat_queue
from services.scheduler.liveness.marks import Marks
from shared.contracts.codec import decode
from shared.contracts.markers import Marker
from shared.transport.base import EVENT_SHARDS, EVENTS, HEARTBEATS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import eventually

T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Rig:
    """One scheduler's marks over a real transport, with a clock that the test moves."""

    def __init__(self, *, shards: bool = False) -> None:
        self.now = T0
        self.urgent = True
        report_queues = ReportQueues("me", "test", shards=shards)
        self.recorded_through_s = float("inf")
        self.caught_up = threading.Event()
        self.transport = EmbeddedTransport(None)
        hearing = Hearing(gap_s=5, settle_s=0)
        self.listener = HeartbeatListener(self.transport, lambda: self.now, "me", hearing)
        self.consumer = self.transport.consume(report_queues.queues, prefetch=100)
        self.marks = Marks(
            self.transport,
            lambda: self.now,
            "me",
            listener=self.listener,
            hearing=hearing,
            started_at=T0,
            period_s=1,
            report_queues=report_queues,
            urgent=lambda: self.urgent,
        )
        self.marks.watch(lambda: self.recorded_through_s, self.caught_up.set)

    def row(self) -> dict[str, object]:
        return {"instance_id": "me", "version": "test", "heartbeat_at": self.now, **self.marks.row()}

    def until(self, *others: dict[str, object]) -> datetime:
        return self.marks.recorded_until([self.row(), *others])

    def second(self, *, answer: bool = True) -> None:
        """Send markers, let a second pass, and let a scheduler receive those among the reports."""
        self.until()
        self.marks.send()
        eventually(lambda: self.row()["reports_until"] == self.now or self.recorded_through_s != float("inf"))
        self.now += timedelta(seconds=1)
        for delivery in self.consumer.take(100, 0) if answer else []:
            assert isinstance(decode(delivery.body).body, Marker)
            delivery.reply(b"")
            delivery.ack()

    def seconds_until_proven(self, at: datetime) -> datetime:
        """Let seconds pass until what was sent before ``at`` is proven; on a busy machine, answers take longer."""
        for _ in range(200):
            self.second()
            if (proven := self.until()) >= at:
                return proven
        raise AssertionError(f"only {self.until()} is proven at {self.now}")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.transport.close()


def test_what_was_sent_before_a_marker_that_everyone_has_passed_is_recorded(rig: Rig) -> None:
    assert rig.until() == NEVER

    assert rig.seconds_until_proven(T0 + timedelta(seconds=4)) < rig.now


def test_reports_that_are_not_recorded_hold_the_mark(rig: Rig) -> None:
    for _ in range(8):
        rig.second()
    proven, mark = rig.until(), rig.row()["reports_until"]
    rig.recorded_through_s = time.monotonic()
    for _ in range(8):
        rig.second()

    assert rig.row()["reports_until"] == mark
    assert rig.until() <= proven + timedelta(seconds=2)


def test_a_time_is_proven_only_when_the_markers_of_all_queues_were_delivered() -> None:
    rig = Rig(shards=True)
    try:
        rig.seconds_until_proven(T0 + timedelta(seconds=4))
        rig.consumer.close()
        closed_at = rig.now
        rig.consumer = rig.transport.consume([EVENTS, *EVENT_SHARDS[:-1]], prefetch=100)
        for _ in range(8):
            rig.second()
        assert rig.until() <= closed_at, "reports may wait on the last shard"
    finally:
        rig.transport.close()


def test_while_nobody_can_be_lost_markers_are_rare(rig: Rig) -> None:
    rig.urgent = False
    for _ in range(10):
        rig.second(answer=False)
    assert rig.transport.waiting(EVENTS) == 2

    rows = [rig.row(), {**rig.row(), "instance_id": "other"}]
    rig.second()
    rig.marks.recorded_until_for_intake(rows, rig.now)
    # In as many seconds as there is one marker otherwise.
    for _ in range(5):
        rig.second(answer=False)
    assert rig.transport.waiting(EVENTS) >= 3, "a worker waits for an answer"


def test_while_no_attempt_is_open_markers_are_rarer_until_one_may_be(rig: Rig) -> None:
    rig.urgent, rig.marks.idle = False, True
    for _ in range(12):
        rig.second(answer=False)
    assert rig.transport.waiting(EVENTS) == 1

    task = Outgoing(EVENTS, b"", "m")
    rig.marks.follow(PostCommit(outgoing=[task]))
    rig.second(answer=False)
    assert rig.transport.waiting(EVENTS) == 2


def test_a_marker_that_comes_back_lets_the_intake_catch_up(rig: Rig) -> None:
    rig.second(answer=False)

    assert rig.caught_up.wait(30), "else the mark depends on how often the intake wakes by itself"


def test_a_clock_that_was_set_back_holds_up_no_marker(rig: Rig) -> None:
    rig.second()
    rig.now -= timedelta(hours=1)
    waiting = rig.transport.waiting(EVENTS)
    rig.marks.send()
    eventually(lambda: rig.transport.waiting(EVENTS) == waiting + 1)


def test_markers_that_wait_in_a_backlog_become_rare(rig: Rig) -> None:
    for _ in range(100):
        rig.second(answer=False)
    waiting = rig.transport.waiting(EVENTS)
    assert waiting < 25

    for _ in range(4):
        rig.second()
    assert rig.until() > T0 + timedelta(seconds=70)


def test_without_a_session_the_row_claims_nothing(rig: Rig) -> None:
    rig.second()
    assert rig.row()["session_since"] == T0
    rig.transport.close()

    rig.marks.send()

    assert (rig.row()["reports_until"], rig.row()["session_since"]) == (None, T0)


def test_the_broker_is_asked_for_schedulers_that_are_silent_or_have_no_session(rig: Rig) -> None:
    def row(name: str, silent_s: float, *, mark: bool = True) -> dict[str, object]:
        return {
            "instance_id": name,
            "version": "test",
            "heartbeat_at": rig.now - timedelta(seconds=silent_s),
            "session_since": T0,
            "reports_until": T0 if mark else None,
        }

    rows = [row("live", 1), row("silent", 4), row("cut off", 1, mark=False), rig.row()]
    assert rig.marks.doubtful(rows, rig.now) == ["silent", "cut off"]
    rig.marks.idle = True
    assert rig.marks.doubtful(rows, rig.now) == ["cut off"], "passes are rarer while no attempt is open"
    assert rig.marks.doubtful([row("silent", 6)], rig.now) == ["silent"]
    rig.marks.idle = False

    rig.transport.tap(HEARTBEATS, heartbeat_queue("silent"), lambda _body: None)
    for _ in range(10):
        rig.marks.ask(["silent", "cut off"])
        rig.second()
    rig.marks.ask(["silent", "cut off"])
    assert rig.until(row("silent", 20)) == NEVER
    assert rig.until(row("cut off", 20)) > T0


def test_what_is_recorded_is_proven_again_after_the_clock_was_set_back(rig: Rig) -> None:
    rig.seconds_until_proven(T0 + timedelta(seconds=4))
    rig.now = T0 - timedelta(hours=1)

    rig.seconds_until_proven(T0 - timedelta(hours=1) + timedelta(seconds=4))
    assert rig.until() <= rig.now
