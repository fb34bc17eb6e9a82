"""Audit entries of a gateway: collected, counted, bounded, and sent without making a client wait."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from services.api.audit.sender import AuditSender
from shared.contracts.actors import Actor
from shared.contracts.audit import AuditEntry, AuditTarget
from shared.contracts.codec import decode_as
from shared.transport.base import AUDIT
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import eventually

LONG_S = 60.0
"""A window that does not end during a test, except by ``close``."""


def entry(name: str = "ann", target: str = "d", code: str = "forbidden") -> AuditEntry:
    return AuditEntry(
        actor=Actor(kind="user", id=name, name=name, address="192.0.2.1", request_id=name),
        operation="deleteDAG",
        target=AuditTarget(kind="dag", name=target),
        outcome="refused",
        code=code,
    )


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    opened = EmbeddedTransport(None)
    yield opened
    opened.close()


def sender(transport: EmbeddedTransport, window_s: float = LONG_S) -> AuditSender:
    return AuditSender(transport, lambda: datetime.now(UTC), window_s=window_s)


def received(transport: EmbeddedTransport) -> list[AuditEntry]:
    """Return all entries on the broker queue."""
    consumer = transport.consume([AUDIT], prefetch=10_000)
    found = []
    while deliveries := consumer.take(10_000, 0.3):
        found += [decode_as(delivery.body, AuditEntry) for delivery in deliveries]
        for delivery in deliveries:
            delivery.ack()
    consumer.close()
    return found


def test_equal_entries_become_one_with_a_count(transport: EmbeddedTransport) -> None:
    transport.declare([AUDIT])
    made = sender(transport)
    for name, target in (("ann", "d"), ("ann", "d"), ("ann", "e"), ("bob", "d"), ("ann", "d")):
        made.add(entry(name, target))
    made.add(entry(code="unauthorized"))
    made.close()

    found = {(each.actor.name, each.target.name, each.code): each.count for each in received(transport)}
    assert found == {
        ("ann", "d", "forbidden"): 3,
        ("ann", "e", "forbidden"): 1,
        ("bob", "d", "forbidden"): 1,
        ("ann", "d", "unauthorized"): 1,
    }


def test_a_flood_over_many_targets_keeps_the_count_and_few_entries(transport: EmbeddedTransport) -> None:
    transport.declare([AUDIT])
    made = sender(transport)
    for number in range(5000):
        made.add(entry(target=f"t{number}"))
    made.close()

    found = received(transport)
    assert (len(found), sum(each.count for each in found)) == (21, 5000)
    assert [each.count for each in found if each.target.name == ""] == [4980]


def test_entries_that_find_no_place_are_dropped_and_counted(transport: EmbeddedTransport) -> None:
    transport.declare([AUDIT])
    made = sender(transport)
    dropped: list[int] = []
    made.on_drop = dropped.append
    for number in range(2005):
        made.add(entry(f"user-{number}"))
    made.close()

    assert len(received(transport)) == 2000
    assert sum(dropped) == 5


def test_entries_wait_for_a_broker_that_is_away(transport: EmbeddedTransport) -> None:
    made = sender(transport, window_s=0.01)
    made.add(entry())
    # The broker queue does not exist yet, as before the first scheduler of this release starts.
    eventually(lambda: made.failures > 0)
    transport.declare([AUDIT])

    eventually(lambda: [each.actor.name for each in received(transport)] == ["ann"])
    made.close()


def test_after_an_error_nobody_expected_all_entries_are_sent(
    transport: EmbeddedTransport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    transport.declare([AUDIT])
    made = sender(transport, 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(made, "_send", lambda: 1 // 0)
        made.add(entry("ann"))
        eventually(lambda: "thread.died" in [record.message for record in caplog.records])

    def names() -> set[str]:
        # The thread may not have ended yet.
        made.add(entry("bob", str(len(seen))))
        seen.extend(each.actor.name for each in received(transport))
        return set(seen)

    seen: list[str] = []
    eventually(lambda: names() == {"ann", "bob"})
    made.close()
