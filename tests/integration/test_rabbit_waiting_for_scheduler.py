"""A gateway or a worker waits for the exchanges and queues of a scheduler, and for its rights, at ease."""

import itertools
import logging
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from services.worker.task_consumer import TaskConsumer
from shared.errors import BrokerUnavailable
from shared.ids import new_token
from shared.transport.base import EVENTS, Outgoing, task_queue, worker_queue
from shared.transport.embedded.transport import EmbeddedTransport
from shared.transport.open import open_transport
from shared.transport.rabbitmq import connection, consumer, subscription
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.proxy import Proxy
from tests.harness.servers import RabbitServer
from tests.harness.worker_rig import Rig


def test_a_worker_goes_on_when_a_scheduler_has_created_what_it_needs(
    amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = open_transport(amqp_url, name="worker", creates=False)
    assert not worker.healthy
    with pytest.raises(BrokerUnavailable, match="a scheduler must create the exchanges first.*dagway"):
        worker.send(Outgoing(EVENTS, b"report", "m1")).result(60)
    # It has closed the connection itself, and has said why: it does not say too that the connection was lost.
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert {each.getMessage() for each in warnings if each.name == connection.__name__} == {"broker.dropped"}

    scheduler = open_transport(amqp_url, name="scheduler")
    eventually(lambda: worker.healthy)
    own, tasks = worker_queue("w1"), task_queue({})
    consumer = worker.consume([own, tasks], prefetch=1)
    scheduler.send(Outgoing(own, b"own", "m2")).result(60)
    assert [delivery.body for delivery in consumer.take(1, PATIENCE_S)] == [b"own"]

    scheduler.declare([tasks])
    scheduler.send(Outgoing(tasks, b"any", "m3")).result(60)
    assert [delivery.body for delivery in consumer.take(1, PATIENCE_S)] == [b"any"]
    worker.close()
    scheduler.close()


def test_a_queue_that_does_not_exist_yet_holds_up_no_task_of_the_others(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of a worker pool exists from its first task on, and the tasks of a worker selector have their own.

    A worker with both consumes them anew whenever the number of its free slots changes much.
    """
    # Much longer than usual, so that a busy machine is not taken for a wait.
    monkeypatch.setattr(consumer, "OPEN_TIMEOUT_S", PATIENCE_S)
    scheduler = open_transport(amqp_url, name="scheduler")
    pool, zone = task_queue({"pool": "gpu"}), task_queue({"pool": "gpu", "zone": "eu"})
    scheduler.declare([zone])
    worker = open_transport(amqp_url, name="worker", creates=False)
    eventually(lambda: worker.healthy)

    waits = [time.monotonic()]
    tasks = TaskConsumer(worker, [worker_queue("w1"), pool, zone], room=100)
    waits.append(time.monotonic())
    scheduler.send(Outgoing(zone, b"a task", "m1")).result(60)
    taken = tasks.take(10, 0)  # another consumer takes over
    waits.append(time.monotonic())

    assert [after - before < PATIENCE_S for before, after in itertools.pairwise(waits)] == [True, True]
    while not taken:
        taken = tasks.take(10, 1)
    assert [delivery.body for delivery in taken] == [b"a task"]
    taken[0].ack()
    scheduler.declare([pool])
    scheduler.send(Outgoing(pool, b"the pool's first", "m2")).result(60)
    eventually(lambda: [delivery.body for delivery in tasks.take(10, 1)] == [b"the pool's first"])
    worker.close()
    scheduler.close()


def test_lost_connections_make_a_missing_queue_looked_for_no_more_often(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    every_s = 1.0
    monkeypatch.setattr(subscription, "_MISSING_RETRY_S", every_s)
    caplog.set_level(logging.INFO)
    parts = urlsplit(amqp_url)
    scheduler = open_transport(amqp_url, name="scheduler")

    def looks() -> list[float]:
        return [record.created for record in caplog.records if record.getMessage() == "consumer.waits"]

    with Proxy(int(parts.port or 0)) as link:
        through = urlunsplit(parts._replace(netloc=f"guest:guest@127.0.0.1:{link.port}"))
        worker = open_transport(through, name="worker", creates=False)
        eventually(lambda: worker.healthy)
        worker.consume([task_queue({"pool": "gpu"})], prefetch=1)
        for _ in range(5):
            before = len(looks())
            link.cut()
            link.mend()
            eventually(lambda before=before: worker.healthy and len(looks()) > before)  # type: ignore[misc]
        last = len(looks())
        eventually(lambda: len(looks()) >= last + 5)
        worker.close()
    scheduler.close()

    seen = looks()[last : last + 5]
    assert seen[-1] - seen[0] > 3 * every_s, seen


def test_queues_that_a_login_may_not_consume_are_named_until_it_may(rabbit_server: RabbitServer, amqp_url: str) -> None:
    vhost, login = amqp_url.rpartition("/")[2], f"consumer-{new_token()[:8]}"

    def allow(readable: str) -> None:
        rabbit_server.eval(
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"{login}">>, <<"{vhost}">>,'
            f' <<"^$">>, <<".*">>, <<"{readable}">>, <<"harness">>).'
        )

    rabbit_server.eval(f'rabbit_auth_backend_internal:add_user(<<"{login}">>, <<"secret">>, <<"harness">>).')
    allow("^other$")
    with closing(open_transport(amqp_url, name="scheduler")) as scheduler:
        scheduler.declare([EVENTS])
        url = amqp_url.replace("guest:guest", f"{login}:secret")
        with closing(open_transport(url, name="consumer", creates=False)) as consumer:
            consumer.consume([EVENTS], prefetch=1)
            eventually(lambda: consumer.forbidden == (EVENTS.name,))
            assert consumer.healthy
            allow(".*")
            eventually(lambda: consumer.forbidden == ())


def test_a_login_that_may_not_send_is_tried_ever_less_often(
    rabbit_server: RabbitServer, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may connect, and check that the exchanges exist: the broker refuses only what it sends."""
    monkeypatch.setattr(connection._random, "uniform", lambda _shortest, longest: longest)
    vhost = amqp_url.rpartition("/")[2]
    rabbit_server.eval(
        'rabbit_auth_backend_internal:add_user(<<"reader">>, <<"secret">>, <<"harness">>),'
        f' ok = rabbit_auth_backend_internal:set_permissions(<<"reader">>, <<"{vhost}">>,'
        ' <<".*">>, <<"^$">>, <<".*">>, <<"harness">>), ok.'
    )
    scheduler = open_transport(amqp_url, name="scheduler")
    scheduler.declare([EVENTS])
    reader = open_transport(amqp_url.replace("guest:guest", "reader:secret"), name="reader", creates=False)
    tried_at = []
    for number in range(6):
        eventually(lambda: reader.healthy, every_s=0.02)
        # Not when this thread sees the refusal, which may be late: the wait has begun by then.
        tried_at.append(time.monotonic())
        with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
            reader.send(Outgoing(EVENTS, b"report", f"m{number}")).result(PATIENCE_S)
    reader.close()
    scheduler.close()

    # It waited for 0.1 s, then for twice as long each time.
    assert tried_at[-1] - tried_at[0] > 3.0, tried_at


class _Forbidding(EmbeddedTransport):
    """The embedded transport, with a broker queue that the worker's login may not consume."""

    forbidden = ("dagway.tasks.default",)


def test_a_worker_that_may_not_consume_its_tasks_is_not_ready(tmp_path: Path) -> None:
    with Rig(tmp_path, transport=_Forbidding(None)) as rig:
        assert rig.worker.facts().trouble == "the broker login may not consume dagway.tasks.default"
