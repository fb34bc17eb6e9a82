"""What an intake does with a backlog, with markers, and with messages about runs that are locked."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from services.scheduler.loops.intake import Intake
from shared.clock import utc_now
from shared.contracts.codec import Envelope, encode
from shared.contracts.commands import Command, DrainWorker, ResumeWorker, StartRun, StopRun, SuspendDag
from shared.contracts.events import AttemptStarted, Event
from shared.contracts.markers import Marker
from shared.errors import RowsLocked
from shared.transport.base import COMMANDS, EVENTS, Delivery, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually


class Database:
    """Stands for the transactor: ``locked`` holds the keys of runs that another transaction has locked."""

    def __init__(self) -> None:
        self.locked: set[str] = set()
        self.recorded: list[str] = []
        self.waits = 0
        self.after: Callable[[], None] = lambda: None

    def decide_patiently(self, work: Callable[[Any], Any], _stop: threading.Event, *, wait: bool = True) -> Any:
        events: list[AttemptStarted] = []
        result = work(events)
        if any(event.run_key in self.locked for event in events):
            self.waits += wait
            raise RowsLocked("canceling statement due to lock timeout")
        self.recorded += [event.token for event in events]
        self.after()
        return result


def record(batch: Any, envelopes: Sequence[Envelope]) -> None:
    batch.extend(envelope.body for envelope in envelopes)


class Rig:
    def __init__(self) -> None:
        self.transport = EmbeddedTransport(None)
        self.database = Database()
        self.consumer = self.transport.consume([EVENTS], prefetch=100)
        self.intake = Intake(
            self.database,  # type: ignore[arg-type]
            self.consumer,
            expects=Event,
            record=record,
            at_once=3,
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.intake.run, args=(self.stop,))

    def send(self, run: str, token: str) -> None:
        event = AttemptStarted(token=token, run_key=run, node=0, worker_id="w", incarnation="i", at=utc_now())
        self.transport.send(Outgoing(EVENTS, encode(event, id=token, at=event.at), token)).result(PATIENCE_S)

    def close(self) -> None:
        self.stop.set()
        self.intake.wake()
        if self.thread.ident is not None:
            self.thread.join(60)
        self.transport.close()
        assert not self.thread.is_alive()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_under_a_backlog_of_full_batches_the_mark_moves(rig: Rig) -> None:
    sent = 0

    def more() -> None:
        nonlocal sent
        for _ in range(3):
            sent += 1
            rig.send("run", f"t{sent}")

    more()
    more()
    rig.database.after = more
    began_s = time.monotonic()
    rig.thread.start()

    eventually(lambda: len(rig.database.recorded) >= 30)
    assert rig.intake.recorded_through_s > began_s
    rig.database.after = lambda: None


def test_a_message_is_settled_after_the_commit_and_not_before(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Delivery] = []
    at_commit: list[bool] = []
    take = rig.consumer.take

    def noted(limit: int, timeout_s: float) -> list[Delivery]:
        found = take(limit, timeout_s)
        taken.extend(found)
        return found

    monkeypatch.setattr(rig.consumer, "take", noted)
    rig.database.after = lambda: at_commit.extend(each.held for each in taken)
    rig.send("run", "t1")
    rig.thread.start()

    eventually(lambda: [each.held for each in taken] == [False])
    assert at_commit == [True]


def test_a_marker_is_answered_when_it_comes_and_counts_as_no_event(rig: Rig) -> None:
    rig.send("run", "t1")
    asked = rig.transport.request(Outgoing(EVENTS, encode(Marker(scheduler="s", number=1), id="m", at=utc_now()), "m"))
    assert asked.poll() is None
    rig.thread.start()

    assert eventually(lambda: asked.poll() is not None)
    eventually(lambda: rig.database.recorded == ["t1"])
    assert rig.transport.dead_letters(10) == []


def test_locked_runs_hold_up_no_others_and_keep_their_order(rig: Rig) -> None:
    rig.database.locked = {"a", "b"}
    for token in ("a1", "c1", "b1", "a2"):
        rig.send(token[0], token)
    rig.thread.start()
    eventually(lambda: rig.database.recorded == ["c1"])
    for token in ("c2", "a3", "c3", "c4", "b2"):
        rig.send(token[0], token)

    eventually(lambda: rig.database.recorded == ["c1", "c2", "c3", "c4"])
    assert rig.database.waits == 1, "only the first batch waits for a lock"
    frozen_s = rig.intake.recorded_through_s
    rig.database.locked = {"b"}
    eventually(lambda: [one for one in rig.database.recorded if one[0] == "a"] == ["a1", "a2", "a3"])
    assert rig.intake.recorded_through_s == frozen_s, "b1, which came before, is not recorded yet"
    rig.database.locked = set()
    eventually(lambda: [one for one in rig.database.recorded if one[0] == "b"] == ["b1", "b2"])
    eventually(lambda: rig.intake.recorded_through_s > frozen_s)


COMMANDS_OF_ONE_CLIENT = [
    [SuspendDag(file_name="etl", suspend=True), SuspendDag(file_name="etl", suspend=False)],
    [DrainWorker(worker_id="w1"), ResumeWorker(worker_id="w1")],
    [StartRun(file_name="etl", dag_run_id="r1"), StopRun(dag_name="etl", dag_run_id="r1")],
]


@pytest.mark.parametrize("sent", COMMANDS_OF_ONE_CLIENT, ids=lambda sent: sent[0].type)
def test_commands_keep_their_order_if_a_lock_ends_between_their_tries(sent: list[Command]) -> None:
    tries: list[list[Command]] = []

    class Locked:
        def decide_patiently(self, work: Callable[[Any], Any], _stop: threading.Event, **_how: bool) -> Any:
            tries.append([])
            result = work(tries[-1])
            if len(tries) <= 2:
                raise RowsLocked("canceling statement due to lock timeout")
            return result

    transport, stop = EmbeddedTransport(None), threading.Event()
    consumer = transport.consume([COMMANDS], prefetch=100)
    intake = Intake(Locked(), consumer, expects=Command, record=record, at_once=50)  # type: ignore[arg-type]
    for number, command in enumerate(sent):
        name = f"c{number}"
        transport.send(Outgoing(COMMANDS, encode(command, id=name, at=utc_now()), name)).result(PATIENCE_S)
    thread = threading.Thread(target=intake.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: sum(map(len, tries[2:])) == len(sent))
    finally:
        stop.set()
        intake.wake()
        thread.join(60)
        transport.close()
    assert tries[0] == sent, "all are locked together"
    assert [command for recorded in tries[2:] for command in recorded] == sent
