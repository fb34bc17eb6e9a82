"""A worker in doubt about a task asks a scheduler before it begins, and runs the task at most once."""

from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.worker import intake, task_consumer
from services.worker.attempt import freshness, grants
from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.contracts.control import StopAttempt
from shared.contracts.events import AttemptGivenUp, AttemptRequested, AttemptStarted, Doubt
from shared.contracts.tasks import FRESH_S, SKEW_S
from shared.errors import BrokerUnavailable
from shared.transport.base import EVENTS, HEARTBEATS, BrokerQueue, Delivery, Outgoing, task_queue, worker_queue
from shared.transport.embedded.consumer import EmbeddedDelivery as Delivered
from shared.transport.embedded.transport import EmbeddedTransport
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, task


def doubtful(
    rig: Rig,
    *,
    token: str = "t",
    age_s: float = 0,
    redelivered: bool = False,
    incarnation: str = "",
    queue: BrokerQueue | None = None,
) -> None:
    """Give the worker the task ``token``, which adds a line to the file ``ran``."""
    sent_at = utc_now() - timedelta(seconds=age_s)
    one = task(command("echo ran >> ran"), token=token, dispatched_at=sent_at, incarnation=incarnation)
    body = encode(one, id=token, at=sent_at)
    rig.transport.send(Outgoing(queue or task_queue({}), body, token, again=redelivered)).result()


def asked(rig: Rig, token: str = "t") -> list[AttemptRequested]:
    return [event for event in rig.events(token) if isinstance(event, AttemptRequested)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"redelivered": True}, Doubt.REDELIVERED),
        ({"age_s": FRESH_S + 1}, Doubt.OLD),
        ({"age_s": -SKEW_S - 1}, Doubt.OLD),
        ({"incarnation": "former"}, Doubt.OTHER_INCARNATION),
    ],
)
def test_a_doubtful_task_is_asked_for_and_runs_once_when_it_is_granted(
    tmp_path: Path, facts: dict[str, Any], why: Doubt
) -> None:
    with Rig(tmp_path, grants=False) as rig:
        doubtful(rig, **facts)
        eventually(lambda: len(asked(rig)) >= 2)
        request = asked(rig)[0]
        assert (request.doubt, request.worker_id, request.incarnation) == (why, "w1", rig.worker.incarnation)
        assert rig.worker.attempts.tokens() == ("t",), "it holds a slot and is in the heartbeats"
        assert not rig.work_dir().joinpath("ran").exists()

        rig.grant(request.model_copy(update={"incarnation": "former"}))
        rig.grant(request)
        rig.grant(request)

        finished = rig.finished("t")
        assert rig.work_dir().joinpath("ran").read_text() == "ran\n"
        assert finished.log_bytes == {"stdout": 0, "stderr": 0}
        assert not [event for event in rig.events("t") if isinstance(event, AttemptStarted)]


def test_a_fresh_task_begins_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "FRESH_S", PATIENCE_S)  # however busy the machine is
    with Rig(tmp_path, grants=False) as rig:
        eventually(lambda: rig.worker._heartbeats.heard)
        doubtful(rig, incarnation=rig.worker.incarnation)

        assert rig.finished("t").outcome == "succeeded"
        assert asked(rig) == []


def test_a_worker_whose_heartbeats_are_not_confirmed_asks_for_a_fresh_task(tmp_path: Path) -> None:
    with Rig(tmp_path, transport=Silenced(None)) as rig:
        doubtful(rig)

        assert rig.finished("t").outcome == "succeeded"
        assert {event.doubt for event in asked(rig)} == {Doubt.UNHEARD}


class Silenced(EmbeddedTransport):
    """A broker that accepts everything but heartbeats."""

    def send(self, message: Outgoing) -> "Future[None]":
        if message.queue != HEARTBEATS:
            return super().send(message)
        refused: Future[None] = Future()
        refused.set_exception(BrokerUnavailable("no room for heartbeats"))
        return refused


def test_a_refused_task_does_not_run_and_frees_its_slot(tmp_path: Path) -> None:
    with Rig(tmp_path, grants=False, slots=1) as rig:
        doubtful(rig, redelivered=True)
        eventually(lambda: bool(asked(rig)))
        stop = StopAttempt(token="t", revoked=True, reason="held by another", incarnation="former")
        rig.broadcast("worker.w1", stop)
        rig.broadcast("worker.w1", stop.model_copy(update={"incarnation": rig.worker.incarnation}))

        assert rig.run(task(command("true"))).outcome == "succeeded"
        assert not rig.work_dir().joinpath("ran").exists()
        assert {type(event) for event in rig.events("t")} == {AttemptRequested}


def test_without_an_answer_a_task_is_given_up_returned_and_asked_for_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "_ASK_FOR_S", 0.3)
    with Rig(tmp_path, grants=False) as rig:
        doubtful(rig, age_s=60)
        eventually(lambda: [type(event) for event in rig.events("t")] == [AttemptRequested, AttemptGivenUp])
        given_up = rig.events("t")[1]
        assert isinstance(given_up, AttemptGivenUp)
        assert given_up.doubt == Doubt.OLD
        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert rig.worker.counters.values["asked.none"] == 1
        assert not rig.work_dir().joinpath("ran").exists()


def test_a_task_that_was_delivered_before_is_not_given_up_while_no_scheduler_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler could not replace it, and this worker would take the returned task for a copy: it would be lost."""
    monkeypatch.setattr(grants, "_ASK_FOR_S", 0.3)
    with Rig(tmp_path, grants=False) as rig:
        doubtful(rig, redelivered=True)
        eventually(lambda: len(asked(rig)) >= 2)
        rig.grant(asked(rig)[0])

        assert rig.finished("t").outcome == "succeeded"
        assert not [event for event in rig.events("t") if isinstance(event, AttemptGivenUp)]


def test_a_task_that_nobody_answers_for_does_not_hold_up_the_tasks_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_consumer, "_HOLDS_UP_S", 0.2)
    with Rig(tmp_path, grants=False, slots=3) as rig:
        eventually(lambda: rig.worker._heartbeats.heard)
        for token in ("t", "u"):
            doubtful(rig, redelivered=True, token=token)
        eventually(lambda: bool(asked(rig, "t") and asked(rig, "u")))

        assert rig.run(task(command("true"))).outcome == "succeeded"
        # The end of an attempt is reported before it is recorded.
        eventually(lambda: set(rig.worker.attempts.tokens()) == {"t", "u"})
        for token in ("u", "t"):
            rig.grant(asked(rig, token)[0])
            assert rig.finished(token).outcome == "succeeded"
        assert rig.run(task(command("true"))).outcome == "succeeded"


def test_a_stop_ends_a_task_that_was_delivered_before_although_no_scheduler_answers(tmp_path: Path) -> None:
    with Rig(tmp_path, grants=False) as rig:
        doubtful(rig, redelivered=True)
        eventually(lambda: bool(asked(rig)))
        rig.broadcast("worker.w1", StopAttempt(token="t", revoked=False, reason="stop"))

        assert rig.finished("t").outcome == "aborted"
        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert not rig.work_dir().joinpath("ran").exists()


class Muted(EmbeddedTransport):
    """A broker that accepts no report of an attempt while ``muted``, and delivers its task again meanwhile."""

    muted = True

    def send(self, message: Outgoing) -> "Future[None]":
        if not self.muted or message.queue != EVENTS:
            return super().send(message)
        refused: Future[None] = Future()
        refused.set_exception(BrokerUnavailable("no room for reports"))
        return refused


def test_a_task_that_came_again_while_nothing_could_be_sent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for a copy, so returning the first delivery would return nothing."""
    monkeypatch.setattr(grants, "_ASK_FOR_S", 1.0)
    transport = Muted(None)
    monkeypatch.setattr(Delivered, "held", property(lambda _: False))
    with Rig(tmp_path, transport=transport, grants=False) as rig:
        doubtful(rig, age_s=60)
        eventually(lambda: rig.worker.facts().spooled == 1)
        transport.muted = False

        eventually(lambda: [type(event) for event in rig.events("t")] == [AttemptGivenUp])
        assert not rig.work_dir().joinpath("ran").exists()


def test_tasks_of_two_broker_queues_that_arrive_for_one_slot_run_without_being_handed_back(
    tmp_path: Path, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: a task is kept for a second only if another worker could take it.
    monkeypatch.setattr(freshness, "FRESH_S", PATIENCE_S)
    monkeypatch.setattr(intake, "_KEEP_S", PATIENCE_S)
    transport = RabbitTransport(amqp_url, name="test")
    eventually(lambda: transport.healthy)
    routes = (worker_queue("w1"), task_queue({}))
    transport.declare(routes)
    with Rig(tmp_path, transport=transport, slots=1) as rig:
        rig.give(task(command("until test -e go; do sleep 0.02; done"), token="first"))
        rig.started("first")
        for number in range(5):
            for route in routes:
                rig.give(task(command("true"), token=f"{number}{route.name}", dispatched_at=utc_now()), route)
        rig.work_dir().joinpath("go").touch()

        for number in range(5):
            for route in routes:
                assert rig.finished(f"{number}{route.name}").outcome == "succeeded"
        assert "handed_back" not in rig.worker.counters.values
        # The worker hands none back. The broker itself may deliver a task again that was on its way from a quorum queue
        # while the consumer paused; the worker then asks for that reason instead.
        asked_for = {event.doubt for event in rig.seen if isinstance(event, AttemptRequested)}
        assert Doubt.KEPT in asked_for


def test_a_task_is_left_to_another_worker_while_no_slot_is_free(tmp_path: Path, amqp_url: str) -> None:
    transport = RabbitTransport(amqp_url, name="test")
    eventually(lambda: transport.healthy)
    hold = "touch {0}; until test -e go; do sleep 0.02; done"
    with Rig(tmp_path, transport=transport, slots=1) as rig:
        rig.give(task(command(hold.format("first")), token="first"))
        rig.started("first")
        rig.give(task(command(hold.format("own")), token="own"), worker_queue("w1"))
        rig.give(task(command("true"), token="shared"))
        other = transport.consume([task_queue({})], prefetch=1)
        (delivery,) = eventually(lambda: other.take(1, 0.5) or _nothing())

        assert delivery.message_id == "shared"
        delivery.ack()
        other.close()
        rig.work_dir().joinpath("go").touch()
        assert rig.finished("own").outcome == "succeeded"


def _nothing() -> list[Delivery]:
    raise AssertionError("nothing arrived")
