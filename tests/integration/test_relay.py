"""The outbox relay: which messages are sent again, by which scheduler and when. The test sets the clock."""

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.assembly import Assembly
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.loops import relay
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Store
from shared.transport.base import BrokerQueue, Consumer, Delivery, Durability, Outgoing
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.scheduler_stack import Stack

T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Rig:
    """The relays of two schedulers, a broker queue, and an outbox message of the first scheduler's decision."""

    def __init__(self, stack: Stack) -> None:
        self.route = BrokerQueue(f"test.relay.{new_run_id()}", Durability.REPRODUCIBLE)
        stack.transport.declare([self.route])
        self.consumer: Consumer = stack.transport.consume([self.route], prefetch=10)
        store = Store(stack.engine)
        self.one, self.two = (
            Assembly(store, stack.transport, SchedulerMemory(Plans()), lambda: T0, ZoneInfo("UTC")).relay
            for _ in range(2)
        )
        self.owed = Outgoing(self.route, b"a task", new_run_id())
        row = {
            "id": self.owed.message_id,
            "route": [self.route.name, str(self.route.durability), None],
            "body": self.owed.body,
            "created_at": T0,
        }
        with store.begin() as tx:
            tx.write(Rows(t.outbox, [row]))

    def arrived(self) -> int:
        """Wait for at least one message, take all that have arrived, and return their number."""
        found: list[Delivery] = []

        def something() -> bool:
            found.extend(self.consumer.take(10, 0.1))
            return bool(found)

        eventually(something)
        found += self.consumer.take(10, 0.1)
        for delivery in found:
            delivery.ack()
        return len(found)


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def test_a_scheduler_does_not_resend_its_own_message_while_the_row_is_in_the_outbox(rig: Rig) -> None:
    rig.one.publish([rig.owed])
    assert rig.arrived() == 1

    assert rig.one.sweep(T0 + timedelta(minutes=5)) == 0, "its own thread has not come to delete it"
    assert rig.two.sweep(T0 + timedelta(seconds=5)) == 0, "it may be under way"
    assert rig.two.sweep(T0 + timedelta(seconds=7)) == 1, "its sender is taken for dead"
    assert rig.arrived() == 1


def test_of_two_schedulers_that_find_an_orphaned_message_one_sends_it(rig: Rig) -> None:
    later = T0 + timedelta(seconds=7)

    assert [rig.one.sweep(later), rig.two.sweep(later)] == [1, 0]
    assert rig.arrived() == 1


def test_a_relay_that_stops_waits_for_the_confirms_of_its_last_messages(
    rig: Rig, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_LAST_CONFIRMS_S", PATIENCE_S)  # however busy the machine is
    stop = threading.Event()
    stop.set()
    rig.one.publish([rig.owed])

    rig.one.run(stop)

    assert stack.rows(t.outbox) == []
    assert rig.arrived() == 1
