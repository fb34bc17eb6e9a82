"""What a login of the broker is worth to somebody who has stolen it, on the definitions in ``deploy``."""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika
import pytest

import shared.contracts.codec  # noqa: F401 - it registers the message types
from shared.contracts.base import MESSAGE_TYPES
from shared.errors import BrokerUnavailable
from shared.transport.base import (
    COMMANDS,
    EVENT_SHARDS,
    EVENTS,
    HEARTBEATS,
    LOGS,
    BrokerQueue,
    Consumer,
    Outgoing,
    Transport,
    task_queue,
    worker_queue,
)
from shared.transport.open import open_transport
from shared.transport.topology import CONTROL_EXCHANGE, DEAD_QUEUE, EXCHANGES, REJECTED_EXCHANGE, REJECTED_KEY
from tests.harness.broker_users import BrokerUsers
from tests.harness.eventually import eventually
from tests.security.intruder import Intruder

_TASKS = {
    "default": [task_queue({}), task_queue({"region": "eu"}), worker_queue("default-w1")],
    "gpu": [task_queue({"worker-pool": "gpu"}), task_queue({"worker-pool": "gpu", "a": "b"}), worker_queue("gpu-w1")],
}
_QUEUES: list[BrokerQueue] = [COMMANDS, EVENTS, EVENT_SHARDS[0], LOGS, HEARTBEATS, *itertools.chain(*_TASKS.values())]
_NAMES = [*(queue.name for queue in _QUEUES), DEAD_QUEUE]
_TOPICS = ["worker.default-w1", "worker.gpu-w1", "workers", "changes"]
_SECRET = b"not for you"


@dataclass(frozen=True)
class _Login:
    """What a login is for: what it may send, through which exchange, which queues it may read, what it may hear."""

    name: str
    exchange: str
    sends: list[str]
    reads: list[str]
    hears: list[str]


_REPORTS = [EVENTS.name, EVENT_SHARDS[0].name, LOGS.name, HEARTBEATS.name]
_LOGINS = [
    _Login("api", "dagway.requests", [COMMANDS.name], [], ["changes"]),
    *(
        _Login(f"worker-{pool}", "dagway.reports", _REPORTS, [q.name for q in queues], [f"worker.{pool}-w1", "workers"])
        for pool, queues in _TASKS.items()
    ),
]
stolen = pytest.mark.parametrize("login", _LOGINS, ids=lambda login: login.name)


def _declared(transport: Transport) -> bool:
    try:
        transport.declare(_QUEUES)
    except BrokerUnavailable as busy:
        raise AssertionError(str(busy)) from busy
    return True


@pytest.fixture
def scheduler(broker: BrokerUsers) -> Iterator[Transport]:
    """The transport of a scheduler. Every broker queue exists and holds one message."""
    opened = open_transport(broker.url("scheduler"), name="scheduler")
    eventually(lambda: _declared(opened))
    with pika.BlockingConnection(pika.URLParameters(broker.url("scheduler"))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for name in _NAMES:
            channel.queue_purge(name)
            channel.basic_publish("", name, _SECRET, mandatory=True)
    yield opened
    opened.close()
    _contents(broker)


def _contents(broker: BrokerUsers) -> dict[str, list[tuple[bytes, bool]]]:
    """Take everything out of all queues; return the body of each message and whether it was delivered before.

    Heartbeats are left out: the broker drops them after 10 s.
    """
    found: dict[str, list[tuple[bytes, bool]]] = {name: [] for name in _NAMES}
    with pika.BlockingConnection(pika.URLParameters(broker.url("scheduler"))) as connection:
        channel = connection.channel()
        for name in _NAMES:
            while (got := channel.basic_get(name, auto_ack=True))[0] is not None:
                found[name].append((got[2], got[0].redelivered))
    del found[HEARTBEATS.name]
    return found


def _consuming(consumer: Consumer) -> None:
    assert consumer.connected_for_s > 0


def _say(counts: str) -> None:
    sys.stdout.write(f"\n{counts}\n")


@stolen
def test_a_stolen_login_sends_nothing_but_what_its_service_sends(
    broker: BrokerUsers, scheduler: Transport, login: _Login
) -> None:
    stops: list[str] = []
    scheduler.listen(_TOPICS, lambda topic, _body: stops.append(topic))
    messages = [json.dumps({"v": 1, "type": name, "id": "x", "body": {}}).encode() for name in MESSAGE_TYPES]
    keys = [*_NAMES, *_TOPICS, REJECTED_KEY, ""]
    exchanges = ["", *EXCHANGES, "amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"]
    accepted: list[tuple[str, str, bytes]] = []
    with Intruder(broker.url(login.name)) as intruder:
        for exchange in exchanges:
            # The broker looks at exchange and key only. Each message type meets each exchange, and so does each key.
            for number in range(max(len(messages), len(keys))):
                body, key = messages[number % len(messages)], keys[number % len(keys)]
                if intruder.publishes(exchange, key, body):
                    accepted.append((exchange, key, body))
        tried = intruder.tried

    foreign = [one for one in accepted if (one[0], one[1]) not in {(login.exchange, key) for key in login.sends}]
    _say(f"{login.name}: {tried} messages, {len(accepted)} accepted as its own, {len(foreign)} accepted elsewhere")
    assert foreign == []
    assert {key for _, key, _ in accepted} == set(login.sends)
    # A broadcast of the scheduler's own arrives after everything that the intruder sent.
    scheduler.broadcast("workers", b"the end")
    eventually(lambda: "workers" in stops)
    assert stops == ["workers"], "forged control messages"
    for name, held in _contents(broker).items():
        assert held == [(_SECRET, False), *((body, False) for _, key, body in accepted if key == name)]


@stolen
def test_a_stolen_login_reads_and_changes_no_foreign_queue(
    broker: BrokerUsers, scheduler: Transport, login: _Login
) -> None:
    foreign = [name for name in _NAMES if name not in login.reads]
    deeds: dict[str, Any] = {}
    for name in foreign:
        deeds[f"get {name}"] = lambda channel, name=name: channel.basic_get(name)
        deeds[f"consume {name}"] = lambda channel, name=name: channel.basic_consume(name, lambda *_: None)
        deeds[f"purge {name}"] = lambda channel, name=name: channel.queue_purge(name)
        deeds[f"delete {name}"] = lambda channel, name=name: channel.queue_delete(name)
        deeds[f"declare {name}"] = lambda channel, name=name: channel.queue_declare(name, durable=True)
        for exchange in EXCHANGES:
            deeds[f"bind {name} to {exchange}"] = lambda channel, name=name, exchange=exchange: channel.queue_bind(
                name, exchange, "#"
            )
            deeds[f"unbind {name} from {exchange}"] = lambda channel, name=name, exchange=exchange: (
                channel.queue_unbind(name, exchange, name)
            )
    for exchange in EXCHANGES:
        deeds[f"delete {exchange}"] = lambda channel, exchange=exchange: channel.exchange_delete(exchange)
        for source in EXCHANGES:
            deeds[f"lead {source} to {exchange}"] = lambda channel, exchange=exchange, source=source: (
                channel.exchange_bind(exchange, source, "#")
            )
    with Intruder(broker.url(login.name)) as intruder:
        done = [what for what, deed in deeds.items() if intruder.does(deed)]
        tried = intruder.tried

    _say(f"{login.name}: {tried} deeds on {len(foreign)} foreign queues and all exchanges, {len(done)} done")
    assert done == []
    contents = _contents(broker)
    assert [name for name in foreign if contents.get(name, [(_SECRET, False)]) != [(_SECRET, False)]] == []
    assert scheduler.healthy


@stolen
def test_a_stolen_login_hears_only_its_own_control_messages(
    broker: BrokerUsers, scheduler: Transport, login: _Login
) -> None:
    patterns = ["#", "*", "*.*", "worker.#", "worker.*", "#.gpu-w1", "*.default-w1", "chang*", *_TOPICS]
    with Intruder(broker.url(login.name)) as intruder:
        allowed, received = intruder.listens(CONTROL_EXCHANGE, patterns)
        heard_reports, _ = intruder.listens("dagway.reports", _NAMES)
        for topic in _TOPICS:
            scheduler.broadcast(topic, b"control")
        eventually(lambda: set(received()) >= set(login.hears))

        # What it may hear it can lead into an exchange that it may write to, but from there to no queue.
        intruder.does(lambda channel: channel.exchange_bind(login.exchange, CONTROL_EXCHANGE, login.hears[-1]))
        scheduler.broadcast(login.hears[-1], b"control")
        eventually(lambda: received().count(login.hears[-1]) == 2)
        intruder.does(lambda channel: channel.exchange_unbind(login.exchange, CONTROL_EXCHANGE, login.hears[-1]))
        heard = received()

    _say(
        f"{login.name}: {len(patterns)} bindings, {allowed} allowed, {len(set(heard) - set(login.hears))} foreign heard"
    )
    assert sorted(allowed) == sorted(login.hears)
    assert set(heard) == set(login.hears)
    assert heard_reports == []
    assert all(held == [(_SECRET, False)] for held in _contents(broker).values())


@stolen
def test_a_stolen_login_makes_no_queue_that_leads_elsewhere(
    broker: BrokerUsers, scheduler: Transport, login: _Login
) -> None:
    pool = login.name.removeprefix("worker-")
    names = ["mine", "dagway.mine", "dagway.commands.mine", f"dagway.tasks.{pool}.mine", "dagway.worker.other-w1"]
    targets = ["", *EXCHANGES, "amq.topic"]
    with Intruder(broker.url(login.name)) as intruder:
        made = [name for name in names if intruder.does(lambda channel, name=name: channel.queue_declare(name))]  # type: ignore[misc]
        leads = [
            target
            for target in targets
            if intruder.does(
                lambda channel, target=target: channel.queue_declare(  # type: ignore[misc]
                    "", exclusive=True, arguments={"x-dead-letter-exchange": target}
                )
            )
        ]

    assert made == []
    # Dead letters of its own queues. The topic permission keeps it from publishing to the second one.
    assert set(leads) == ({login.exchange} if login.name == "api" else {login.exchange, REJECTED_EXCHANGE})
    assert scheduler.healthy


def test_each_service_can_do_its_work(broker: BrokerUsers, scheduler: Transport) -> None:
    _contents(broker)
    heard: list[tuple[str, bytes]] = []
    api = open_transport(broker.url("api"), name="api", creates=False)
    workers = {pool: open_transport(broker.url(f"worker-{pool}"), name=pool, creates=False) for pool in _TASKS}
    try:
        intake = scheduler.consume([COMMANDS, EVENTS, EVENT_SHARDS[0], LOGS, HEARTBEATS], prefetch=10)
        asked = api.request(Outgoing(COMMANDS, b"start", "m1"))
        asked.accepted(60)
        (command,) = intake.take(1, 60)
        command.reply(b"recorded")
        command.ack()
        assert asked.reply(60) == b"recorded"
        for pool, worker in workers.items():
            worker.listen([f"worker.{pool}-w1", "workers"], lambda *message: heard.append(message))
            tasks = worker.consume(_TASKS[pool], prefetch=10)
            for queue in _TASKS[pool]:
                scheduler.send(Outgoing(queue, b"task", "m2")).result(60)
                (task,) = tasks.take(1, 60)
                task.retry()
                (task,) = tasks.take(1, 60)
                assert task.redelivered
                task.ack()
            for queue in (EVENTS, EVENT_SHARDS[0], LOGS, HEARTBEATS):
                worker.send(Outgoing(queue, b"report", "m3")).result(60)
                (report,) = intake.take(1, 60)
                report.ack()
            scheduler.broadcast(f"worker.{pool}-w1", b"stop")
            eventually(lambda pool=pool: (f"worker.{pool}-w1", b"stop") in heard)  # type: ignore[misc]
    finally:
        for transport in (api, *workers.values()):
            transport.close()


def test_a_worker_uses_its_queue_again_when_what_a_stolen_login_made_is_deleted(broker: BrokerUsers) -> None:
    """Follows docs/operations/rotate-secrets.md."""
    apart = broker.another_vhost("scheduler", "worker-default")
    queue = worker_queue("default-w1")
    scheduler = open_transport(broker.url("scheduler", apart), name="scheduler")
    eventually(lambda: scheduler.healthy)
    with Intruder(broker.url("worker-default", apart)) as intruder:
        assert intruder.does(lambda channel: channel.queue_declare(queue.name, durable=True))
    worker = open_transport(broker.url("worker-default", apart), name="worker", creates=False)
    try:
        tasks = worker.consume([queue], prefetch=1)
        assert tasks.connected_for_s == 0

        with pika.BlockingConnection(pika.URLParameters(broker.url("scheduler", apart))) as connection:
            connection.channel().queue_delete(queue.name)
        eventually(lambda: _consuming(tasks))
        scheduler.send(Outgoing(queue, b"task", "m1")).result(60)
        (task,) = tasks.take(1, 60)
        assert task.body == b"task"
        task.ack()
    finally:
        worker.close()
        scheduler.close()
