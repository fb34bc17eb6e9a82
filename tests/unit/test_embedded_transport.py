"""The embedded transport delivers a message while the journal writes it, and accepts it when it is on disk."""

import gc
import math
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import BrokerUnavailable, PublishUnconfirmed
from shared.transport.base import COMMANDS, LOGS, Delivery, Outgoing
from shared.transport.embedded import journal as journal_module
from shared.transport.embedded import transport as module
from shared.transport.embedded.journal import Journal, StoredMessage
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.linked_transport import EmbeddedOverLink

WAIT_S = 60
Ended = Callable[[BaseException | None], None]


class HeldJournal(Journal):
    """A journal that writes nothing until the test says how the write ended."""

    ends: list[Ended]

    def add(self, message: StoredMessage, then: Ended, *, patient: bool = False) -> None:  # noqa: ARG002
        self.ends.append(then)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[Ended]:
    """What to call with the outcome of each write."""
    HeldJournal.ends = []
    monkeypatch.setattr(module, "Journal", HeldJournal)
    return HeldJournal.ends


def test_a_message_is_delivered_before_it_is_on_disk_and_accepted_after(
    ends: list[Ended],
) -> None:
    transport = EmbeddedTransport(None)
    transport.declare([COMMANDS])
    consumer = transport.consume([COMMANDS], prefetch=1)
    accepted = transport.send(Outgoing(COMMANDS, b"body", "m"))

    [delivery] = consumer.take(1, WAIT_S)
    assert delivery.body == b"body"
    assert not accepted.done()
    ends[0](None)
    assert accepted.result(WAIT_S) is None
    transport.close()


@pytest.mark.parametrize("seen", ["no", "in hand", "given back"])
def test_only_a_message_that_nobody_saw_is_certainly_not_accepted(ends: list[Ended], seen: str) -> None:
    transport = EmbeddedTransport(None)
    transport.declare([COMMANDS])
    consumer = transport.consume([COMMANDS], prefetch=1)
    accepted = transport.send(Outgoing(COMMANDS, b"body", "m"))
    if seen != "no":
        [delivery] = consumer.take(1, WAIT_S)
        if seen == "given back":
            delivery.retry()

    ends[0](OSError("disk full"))

    error = accepted.exception(WAIT_S)
    assert isinstance(error, BrokerUnavailable)
    assert isinstance(error, PublishUnconfirmed) == (seen != "no")
    assert "disk full" in str(error)
    assert transport.waiting(COMMANDS) == 0
    transport.close()


def test_a_message_acknowledged_before_it_is_on_disk_does_not_stay_there(tmp_path: Path) -> None:
    transport = EmbeddedTransport(tmp_path / "journal")
    transport.declare([COMMANDS])
    consumer = transport.consume([COMMANDS], prefetch=10)
    writing = threading.Event()
    # The journal's thread calls it, and so writes nothing until the second message is acknowledged.
    transport.send(Outgoing(COMMANDS, b"first", "1")).add_done_callback(lambda _: writing.wait(WAIT_S))
    for delivery in consumer.take(1, WAIT_S):
        delivery.ack()
    accepted = transport.send(Outgoing(COMMANDS, b"second", "2"))
    for delivery in consumer.take(1, WAIT_S):
        delivery.ack()
    writing.set()
    accepted.result(WAIT_S)
    transport.close()

    again = EmbeddedTransport(tmp_path / "journal")
    assert again.waiting(COMMANDS) == 0
    again.close()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that a journal of endless patience has written."""
    bodies: list[bytes] = []

    class WatchedJournal(Journal):
        def _write(self, added: list[StoredMessage], *rest: Any) -> BaseException | None:
            bodies.extend(message.body for message in added)
            return super()._write(added, *rest)

    monkeypatch.setattr(module, "Journal", WatchedJournal)
    monkeypatch.setattr(journal_module, "_PATIENT_S", math.inf)
    return bodies


def test_a_log_chunk_is_accepted_by_its_acknowledgement_and_never_written(written: list[bytes]) -> None:
    transport = EmbeddedTransport(None)
    consumer = transport.consume([LOGS], prefetch=1)
    accepted = transport.send(Outgoing(LOGS, b"chunk", "1"))
    [delivery] = consumer.take(1, WAIT_S)
    before = accepted.done()
    delivery.ack()
    after = accepted.done()
    transport.close()

    assert (before, after, written) == (False, True, [])


def test_a_log_chunk_that_nobody_acknowledges_is_written(tmp_path: Path) -> None:
    transport = EmbeddedTransport(tmp_path / "journal")
    transport.consume([LOGS], prefetch=1).take(1, 0)
    transport.send(Outgoing(LOGS, b"chunk", "1")).result(WAIT_S)
    transport.close()

    again = EmbeddedTransport(tmp_path / "journal")
    assert [each.body for each in again.consume([LOGS], prefetch=1).take(1, WAIT_S)] == [b"chunk"]
    again.close()


def _give_back(delivery: Delivery) -> None:
    delivery.retry()


def _bury(delivery: Delivery) -> None:
    delivery.dead_letter("unreadable")


@pytest.mark.parametrize(("settle", "waiting", "dead"), [(_give_back, 1, 0), (_bury, 0, 1)])
def test_a_log_chunk_that_was_not_stored_is_written_at_once(
    tmp_path: Path, written: list[bytes], settle: Callable[[Delivery], None], waiting: int, dead: int
) -> None:
    transport = EmbeddedTransport(tmp_path / "journal")
    consumer = transport.consume([LOGS], prefetch=1)
    accepted = transport.send(Outgoing(LOGS, b"chunk", "1"))
    [delivery] = consumer.take(1, WAIT_S)
    settle(delivery)
    accepted.result(WAIT_S)
    assert written == [b"chunk"]
    transport.close()

    again = EmbeddedTransport(tmp_path / "journal")
    assert (again.waiting(LOGS), len(again.dead_letters(10))) == (waiting, dead)
    again.close()


def test_an_orderly_end_writes_the_log_chunks_in_hand(tmp_path: Path, written: list[bytes]) -> None:
    transport = EmbeddedTransport(tmp_path / "journal")
    consumer = transport.consume([LOGS], prefetch=1)
    accepted = [transport.send(Outgoing(LOGS, body, "1")) for body in (b"in hand", b"waiting")]
    consumer.take(1, WAIT_S)
    transport.close()

    assert [each.exception(WAIT_S) for each in accepted] == [None, None]
    assert sorted(written) == [b"in hand", b"waiting"]
    again = EmbeddedTransport(tmp_path / "journal")
    assert again.waiting(LOGS) == len(accepted)
    again.close()


def test_a_closed_consumer_of_a_link_is_dropped_and_its_messages_come_to_the_next() -> None:
    transport = EmbeddedOverLink(None)
    transport.declare([COMMANDS])
    first = transport.consume([COMMANDS], prefetch=1)
    second = transport.consume([COMMANDS], prefetch=1)
    first.close()
    dropped = weakref.ref(first)
    del first
    gc.collect()
    third = transport.consume([COMMANDS], prefetch=1)

    assert dropped() is None
    for name in ("1", "2"):
        transport.send(Outgoing(COMMANDS, name.encode(), name)).result(WAIT_S)
    assert {one.body for each in (second, third) for one in each.take(1, WAIT_S)} == {b"1", b"2"}
    transport.close()
