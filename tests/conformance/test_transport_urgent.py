"""Urgent messages overtake the others that wait in a broker queue, on every transport."""

import pytest

from shared.transport.base import BrokerQueue, Durability, Outgoing, Transport
from tests.conformance.transport_moves import fresh, take_one
from tests.harness.eventually import eventually

_EACH = 12


def _send(transport: Transport, route: BrokerQueue, kind: str, *, urgent: bool) -> list[str]:
    names = [f"{kind}{number}" for number in range(_EACH)]
    sent = [transport.send(Outgoing(route, name.encode(), name, urgent=urgent)) for name in names]
    for accepted in sent:
        accepted.result(60)
    return names


@pytest.mark.parametrize("durability", [Durability.SAFE, Durability.REPRODUCIBLE])
def test_urgent_messages_overtake_the_others_and_do_not_starve_them(
    transport: Transport, durability: Durability
) -> None:
    route = fresh(durability)
    transport.declare([route])
    others = _send(transport, route, "other", urgent=False)
    urgent = _send(transport, route, "urgent", urgent=True)

    consumer = transport.consume([route], prefetch=1)
    taken: list[str] = []
    while len(taken) < 2 * _EACH:
        delivery = take_one(consumer)
        taken.append(delivery.body.decode())
        delivery.ack()

    assert [name for name in taken if name in urgent] == urgent
    assert [name for name in taken if name in others] == others
    assert sum(name in urgent for name in taken[:_EACH]) >= _EACH // 2, f"not before the others: {taken}"
    assert sum(name in others for name in taken[:_EACH]) >= _EACH // 4, f"the others starve: {taken}"
    assert taken.index(urgent[-1]) < taken.index(others[_EACH // 2 + 1])


def test_an_urgent_message_that_is_given_back_overtakes_them_again(transport: Transport) -> None:
    route = fresh(Durability.REPRODUCIBLE)
    transport.declare([route])
    others = _send(transport, route, "other", urgent=False)
    transport.send(Outgoing(route, b"urgent", "urgent", urgent=True)).result(60)
    first = transport.consume([route], prefetch=1)
    delivery = take_one(first)
    assert delivery.body == b"urgent"
    first.close()
    eventually(lambda: transport.waiting(route) == _EACH + 1)  # it returns to its queue a moment later

    again = transport.consume([route], prefetch=1)
    taken: list[str] = []
    while "urgent" not in taken:
        delivery = take_one(again)
        taken.append(delivery.body.decode())
        delivery.ack()

    assert delivery.redelivered
    assert taken[:-1] == others[: len(taken) - 1]
    assert len(taken) <= 2, f"not before the others: {taken}"
