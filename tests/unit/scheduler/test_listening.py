"""What a scheduler hears on its tap, and what it takes from the common queue of heartbeats."""

import threading
from datetime import UTC, datetime

from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.listening import HeartbeatListener
from shared.contracts.codec import encode
from shared.contracts.events import Heartbeat
from shared.transport.base import HEARTBEATS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import eventually

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BEAT = Heartbeat(worker_id="w", incarnation="i", host="h", version="1", started_at=T0, at=T0, slots=1)


def test_a_worker_is_heard_once_although_its_heartbeat_is_on_the_common_queue_too() -> None:
    transport, stop = EmbeddedTransport(None), threading.Event()
    try:
        transport.declare([HEARTBEATS])
        listener = HeartbeatListener(transport, lambda: T0, "me", Hearing(gap_s=5, settle_s=0))
        transport.send(Outgoing(HEARTBEATS, encode(BEAT, id="b", at=T0), "b")).result(60)
        assert eventually(lambda: listener.buffer.news() or False)
        assert transport.waiting(HEARTBEATS) == 1

        thread = threading.Thread(target=listener.run, args=(stop,))
        thread.start()
        eventually(lambda: transport.waiting(HEARTBEATS) == 0)
        stop.set()
        listener.wake()
        thread.join()

        assert (listener.buffer.news(), listener.buffer.quiet()) == ([], [])
    finally:
        stop.set()
        transport.close()
