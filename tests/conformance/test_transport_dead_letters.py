"""Dead letters are returned, discarded or kept as decided, on each transport."""

import pytest

from shared.transport.base import DEAD_LETTERS, DeadLetter, DeadLetterDecision, Durability, Transport
from shared.transport.rabbitmq import admin
from tests.conformance.transport_moves import fresh, is_unroutable, only_letter, put, take_all, take_one
from tests.harness.eventually import eventually

KEEP, RETURN, DISCARD = DeadLetterDecision


def waiting(transport: Transport, count: int) -> None:
    assert transport.waiting(DEAD_LETTERS) == count


def test_dead_letters_are_returned_discarded_and_kept_as_decided(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"back", b"gone", b"here")
    for delivery in take_all(consumer, 3):
        delivery.dead_letter("why")
    eventually(lambda: waiting(transport, 3))
    fingerprints = {letter.body: letter.fingerprint for letter in transport.dead_letters(10)}
    wanted = {fingerprints[b"back"]: RETURN, fingerprints[b"gone"]: DISCARD}
    eventually(lambda: waiting(transport, 3))

    stuck = transport.settle_dead_letters(lambda letter: wanted.get(letter.fingerprint, KEEP), 10)

    assert stuck == frozenset()
    again = take_one(consumer)
    assert (again.body, again.message_id) == (b"back", "back")
    eventually(lambda: waiting(transport, 1))
    assert only_letter(transport) == DeadLetter("here", route.name, b"here", "why")
    # A message that still cannot be handled is the same dead letter again.
    again.dead_letter("again")
    eventually(lambda: waiting(transport, 2))
    assert {letter.fingerprint for letter in transport.dead_letters(10)} == {
        fingerprints[b"back"],
        fingerprints[b"here"],
    }


def test_a_letter_without_a_queue_to_return_to_stays_and_holds_up_no_other(transport: Transport) -> None:
    gone, present = fresh(Durability.REPRODUCIBLE, expires_s=1), fresh()
    consumers = [transport.consume([route], prefetch=1) for route in (gone, present)]
    for route, consumer in zip((gone, present), consumers, strict=True):
        put(transport, route, route.name.encode())
        take_one(consumer).dead_letter("why")
    eventually(lambda: waiting(transport, 2))
    for consumer in consumers:
        consumer.close()
    eventually(lambda: is_unroutable(transport, gone))

    stuck = transport.settle_dead_letters(lambda _letter: RETURN, 10)

    assert eventually(lambda: only_letter(transport)).queue == gone.name
    assert stuck == {only_letter(transport).fingerprint}
    assert take_one(transport.consume([present], prefetch=1)).body == present.name.encode()


def test_settling_looks_at_no_more_letters_than_its_limit(transport: Transport) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=10)
    put(transport, route, b"1", b"2", b"3")
    for delivery in take_all(consumer, 3):
        delivery.dead_letter("why")
    eventually(lambda: waiting(transport, 3))

    transport.settle_dead_letters(lambda _letter: DISCARD, 2)

    eventually(lambda: waiting(transport, 1))
    transport.settle_dead_letters(lambda _letter: DISCARD, 0)
    assert transport.waiting(DEAD_LETTERS) == 1


def test_more_letters_may_take_more_time(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    route = fresh()
    consumer = transport.consume([route], prefetch=1)
    put(transport, route, b"here")
    take_one(consumer).dead_letter("why")
    eventually(lambda: waiting(transport, 1))
    monkeypatch.setattr(admin, "_SETTLE_TIMEOUT_S", 0)
    monkeypatch.setattr(admin, "_LETTER_S", 60)

    # Who wants all letters may give any limit. It is the number of letters that counts.
    assert [letter.body for letter in transport.dead_letters(10**15)] == [b"here"]
