"""A scheduler lists dead letters, and carries out what was decided about them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services.scheduler.loops import dead_letters
from services.scheduler.loops.dead_letters import DeadLetterLoop
from services.scheduler.loops.turn import Turn
from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.contracts.commands import StopRun
from shared.errors import BrokerUnavailable
from shared.store.engine import open_engine
from shared.store.reads.reader import DeadLetterRow, Reads
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, DeadLetter, DeadLetterDecision, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.conformance.transport_moves import give_back
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S, eventually

REASON = "\x00 no envelope"


class Bench:
    """The loop of one scheduler, beside another whose id is greater."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.store = Store(self.engine)
        self.reads = Reads(self.engine)
        self.transport = EmbeddedTransport(None)
        self.transport.declare([COMMANDS])
        self.consumer = self.transport.consume([COMMANDS], prefetch=10)
        self.loops = {name: self._loop(name) for name in ("a", "b")}
        now = utc_now()
        common = {"kind": "scheduler", "host": "h", "version": "1", "started_at": now, "heartbeat_at": now}
        with self.store.begin() as tx:
            for name in self.loops:
                tx.services.put({**common, "instance_id": name, "reports_until": None, "session_since": now})

    def _loop(self, name: str) -> DeadLetterLoop:
        return DeadLetterLoop(self.store, self.transport, utc_now, Turn(utc_now, name, 60))

    def bury(self, body: bytes, message_id: str) -> None:
        self.transport.send(Outgoing(COMMANDS, body, message_id)).result(PATIENCE_S)
        self.bury_next()

    def bury_next(self) -> None:
        [delivery] = self.consumer.take(1, PATIENCE_S)
        delivery.dead_letter(REASON)

    def look(self) -> bool:
        """Look twice, since a number that has just changed may change further."""
        return any([self.loops["a"].run_once(), self.loops["a"].run_once()])

    def rows(self) -> tuple[DeadLetterRow, ...]:
        return self.reads.dead_letters(10)

    def decide(self, letter_id: str, decision: DeadLetterDecision) -> None:
        with self.store.begin() as tx:
            tx.dead_letters.decide(letter_id, decision.value, by="ann")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(migrated_sqlite(tmp_path / "dagway.db"))
    yield made
    made.transport.close()
    made.engine.dispose()


def test_letters_are_listed_by_the_first_scheduler_when_their_number_changes(bench: Bench) -> None:
    stop = encode(StopRun(dag_name="etl", dag_run_id="r1"), id="m1", at=utc_now())
    bench.bury(stop, "m1")
    bench.bury(b"\xff not an envelope", "m2")

    assert bench.loops["b"].run_once() is False
    assert bench.rows() == ()
    assert bench.look() is True

    known, unknown = bench.rows()
    assert (known.message_id, known.queue, known.message_type) == ("m1", COMMANDS.name, StopRun.type)
    assert (known.about, known.size, known.decision) == ("etl/r1", len(stop), "")
    assert (unknown.message_id, unknown.message_type, unknown.about) == ("m2", "", "")
    assert unknown.reason == "\ufffd no envelope"
    assert bench.look() is False
    give_back(bench.transport, 1)
    assert bench.look() is True
    assert bench.rows() == (unknown,)


def test_without_letters_the_database_is_left_alone_for_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    event.listen(bench.engine, "before_cursor_execute", lambda *facts: statements.append(facts[2]))
    for _ in range(3):
        bench.loops["a"].run_once()
    bench.loops["b"].run_once()
    statements.clear()

    for loop in bench.loops.values():
        assert loop.run_once() is False
    assert statements == []
    for loop in bench.loops.values():
        with monkeypatch.context() as later:
            later.setattr(dead_letters, "_ASK_AGAIN_S", 0)
            loop.run_once()
        assert statements
        statements.clear()

    bench.bury(b"x", "x")
    assert bench.look() is True
    assert len(bench.rows()) == 1
    give_back(bench.transport, 1)
    assert bench.look() is True
    assert bench.rows() == ()


def test_decisions_are_carried_out_once_and_a_letter_that_comes_back_is_undecided(bench: Bench) -> None:
    for message_id in ("back", "gone", "here"):
        bench.bury(message_id.encode(), message_id)
    bench.look()
    ids = {row.message_id: row.id for row in bench.rows()}
    bench.decide(ids["back"], DeadLetterDecision.RETURN)
    bench.decide(ids["gone"], DeadLetterDecision.DISCARD)

    assert bench.look() is True

    assert [row.message_id for row in bench.rows()] == ["here"]
    bench.bury_next()
    assert bench.look() is True
    assert {(row.id, row.decision) for row in bench.rows()} == {(ids["back"], ""), (ids["here"], "")}


def test_a_decision_survives_an_outage_of_the_broker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.bury(b"x", "x")
    bench.look()
    bench.decide(bench.rows()[0].id, DeadLetterDecision.DISCARD)

    def fail(*_: Any) -> Any:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(bench.transport, "settle_dead_letters", fail)
        with pytest.raises(BrokerUnavailable):
            bench.look()

    assert [row.decision for row in bench.rows()] == ["discard"]
    assert bench.look() is True
    assert bench.rows() == ()
    assert bench.transport.dead_letters(10) == []


def test_a_decision_waits_for_a_letter_in_the_hands_of_another_reader(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.bury(b"x", "x")
    bench.look()
    bench.decide(bench.rows()[0].id, DeadLetterDecision.DISCARD)

    with monkeypatch.context() as patch:
        patch.setattr(bench.transport, "settle_dead_letters", lambda *_: frozenset())
        assert bench.look() is True

    assert [row.decision for row in bench.rows()] == ["discard"]
    bench.look()
    assert bench.rows() == ()
    assert bench.transport.dead_letters(10) == []


def test_a_decision_about_a_letter_that_is_gone_ends(bench: Bench) -> None:
    bench.bury(b"x", "x")
    bench.look()
    bench.decide(bench.rows()[0].id, DeadLetterDecision.RETURN)
    give_back(bench.transport, 1)

    eventually(lambda: bench.look() and bench.rows() == ())

    assert bench.look() is False


def test_a_letter_whose_queue_is_gone_stays_and_says_why(bench: Bench) -> None:
    bench.bury(b"x", "x")
    bench.look()
    bench.decide(bench.rows()[0].id, DeadLetterDecision.RETURN)
    del bench.transport.queues[COMMANDS.name]

    bench.look()

    [row] = bench.rows()
    assert (row.decision, row.decided_by) == ("", "")
    assert "does not exist" in row.failure
    assert bench.transport.dead_letters(10) == [DeadLetter("x", COMMANDS.name, b"x", REASON)]
