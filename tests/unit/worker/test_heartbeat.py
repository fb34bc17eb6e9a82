"""When a worker sends heartbeats: often while it has something to report, less often while it has not."""

import queue
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.liveness.leases import look_s, looks_per_pass
from services.scheduler.liveness.watch import _GAP_OF_LEASE
from services.worker.reporting.heartbeat import HEARTBEATS_PER_LEASE, HeartbeatSender, pause_s
from shared.contracts.events import Heartbeat
from shared.errors import BrokerUnavailable
from shared.transport.base import Outgoing
from tests.harness.eventually import PATIENCE_S, eventually

LEASE_S = 1.0
NORMAL_S, IDLE_S = pause_s(LEASE_S, 0), pause_s(LEASE_S, LEASE_S)
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Worker:
    """Sends heartbeats to nobody, and tells when. ``tokens``: what they name. ``away``: the broker accepts none."""

    def __init__(self) -> None:
        self.tokens: tuple[str, ...] = ()
        self.away = False
        self.sender = HeartbeatSender(self, LEASE_S, self.beat)  # type: ignore[arg-type]  # it only sends
        self._sent: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.last_s = 0.0

    def beat(self, stopped: bool) -> Heartbeat:
        return Heartbeat(
            worker_id="w",
            incarnation="i",
            host="h",
            version="1",
            started_at=T0,
            at=T0 + timedelta(seconds=time.monotonic()),
            slots=1,
            labels={},
            executors=(),
            tokens=self.tokens,
            draining=False,
            stopped=stopped,
        )

    def send(self, _message: Outgoing) -> "Future[None]":
        self._sent.put(time.monotonic())
        done: Future[None] = Future()
        if self.away:
            done.set_exception(BrokerUnavailable("away"))
        else:
            done.set_result(None)
        return done

    def pause_s(self) -> float:
        """Wait for the next heartbeat; return the time since the one before."""
        before_s, self.last_s = self.last_s, self._sent.get(timeout=PATIENCE_S)
        return self.last_s - before_s


@contextmanager
def running() -> Iterator[Worker]:
    worker = Worker()
    worker.sender.start()
    try:
        yield worker
    finally:
        worker.sender.stop()


@pytest.fixture
def idle() -> Iterator[Worker]:
    """A worker that had nothing to report for more than a lease."""
    with running() as worker:
        began_s = time.monotonic()
        # Not the present time: if this thread was held up, it still has to take heartbeats from before.
        eventually(lambda: worker.pause_s() and worker.last_s > began_s + 1.5 * LEASE_S)
        yield worker


def test_an_idle_worker_sends_half_as_many_heartbeats(idle: Worker) -> None:
    assert IDLE_S == 2 * NORMAL_S
    assert min(idle.pause_s() for _ in range(4)) >= IDLE_S


def test_a_worker_that_holds_an_attempt_never_becomes_idle(idle: Worker) -> None:
    idle.tokens = ("t",)
    idle.pause_s()
    # However busy the machine is: each heartbeat that names an attempt is as good as the first.
    seen = [idle.pause_s() for _ in range(3 * HEARTBEATS_PER_LEASE)]

    assert min(seen[-HEARTBEATS_PER_LEASE:]) < IDLE_S


def test_news_wake_an_idle_worker(idle: Worker) -> None:
    def sooner() -> bool:
        idle.sender.note_news()
        return idle.pause_s() < IDLE_S

    assert eventually(sooner)


def test_a_heartbeat_that_the_broker_refused_is_soon_followed_by_another(idle: Worker) -> None:
    idle.away = True

    assert eventually(lambda: idle.pause_s() < IDLE_S)


@pytest.mark.parametrize("lease_s", [1, 3, 10, 60])
def test_a_gap_that_schedulers_do_not_notice_hides_one_heartbeat_of_an_idle_worker(lease_s: float) -> None:
    pause = pause_s(lease_s, lease_s)

    assert _GAP_OF_LEASE * lease_s <= pause
    assert 2 * pause < lease_s
    assert pause < lease_s / 2, "else a worker would ask before it begins its first task"


@pytest.mark.parametrize("lease_s", [1, 3, 10, 60])
def test_the_lease_of_an_idle_worker_is_renewed_when_a_fifth_of_it_is_left(lease_s: float) -> None:
    recorded_after_s = looks_per_pass(idle=True) * look_s(lease_s)

    assert pause_s(lease_s, lease_s) + recorded_after_s <= 0.8 * lease_s
