"""The minimal work of a recorded start, to compare Dagway with: equally durable, but without any logic.

A Flask route on the gateway's server publishes a persistent message with a confirm to a quorum queue. Another process
takes all waiting messages, inserts a row for each, commits once, replies through the caller's exclusive queue, and
acks. The route answers when its row is committed.

``python -m bench.floor.bare_command serve AMQP_URL PORT THREADS`` runs the route, and the arguments ``record AMQP_URL
DATABASE_URL`` the process that consumes the queue. The function ``bare_command`` runs both.
"""

import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import takewhile
from typing import Any

from services.api.serving.greenlets import become_green

if "serve" in sys.argv:
    become_green()

import pika
import psycopg2
from flask import Flask, Response, jsonify
from pika.spec import Basic
from psycopg2.extras import execute_values

from bench.systems.rig import running
from services.api.serving.gunicorn_server import run_gunicorn

__all__ = ["Requester", "bare_command"]

_QUEUE = "bare-command"
_BATCH = 64
_REPLY_TIMEOUT_S = 60
_CREATE = "CREATE TABLE bare_commands (id text PRIMARY KEY, body text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
_WRITE = "INSERT INTO bare_commands (id, body) VALUES %s ON CONFLICT DO NOTHING"  # a message may be delivered twice


def _connect(url: str, on_channel: Callable[[Any], None]) -> Any:
    """Return a connection whose ``ioloop`` the caller starts; ``on_channel`` receives its channel."""
    return pika.SelectConnection(
        pika.URLParameters(url), on_open_callback=lambda connection: connection.channel(on_open_callback=on_channel)
    )


class Requester:
    """Sends requests to a broker queue from any thread.

    One thread owns the connection; many confirms are pending at the same time.
    """

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._unconfirmed: dict[int, Future[bytes]] = {}
        self._asked: dict[str, Future[bytes]] = {}
        self._sent = 0
        self._reply_to = ""
        self._channel: Any = None
        self._ready = threading.Event()
        self._connection = _connect(url, self._opened)
        threading.Thread(target=self._connection.ioloop.start, daemon=True).start()
        if not self._ready.wait(_REPLY_TIMEOUT_S):
            raise RuntimeError("no channel")

    def ask(self, message_id: str, body: bytes) -> bytes:
        """Send a request and return the reply. Raises if the broker refuses the message or the reply is late."""
        answered: Future[bytes] = Future()
        self._asked[message_id] = answered
        try:
            self._connection.ioloop.add_callback_threadsafe(partial(self._send, message_id, body, answered))
            return answered.result(_REPLY_TIMEOUT_S)
        finally:
            del self._asked[message_id]

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirmed)
        channel.queue_declare("", exclusive=True, callback=self._declared)

    def _declared(self, frame: Any) -> None:
        self._reply_to = frame.method.queue
        ready = self._ready.set
        self._channel.basic_consume(self._reply_to, self._replied, auto_ack=True, callback=lambda _frame: ready())

    def _send(self, message_id: str, body: bytes, answered: "Future[bytes]") -> None:
        self._sent += 1
        self._unconfirmed[self._sent] = answered
        properties = pika.BasicProperties(delivery_mode=2, correlation_id=message_id, reply_to=self._reply_to)
        self._channel.basic_publish("", self._queue, body, properties)

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        tags = list(takewhile(lambda sent: sent <= tag, self._unconfirmed)) if frame.method.multiple else [tag]
        for each in tags:
            answered = self._unconfirmed.pop(each)
            if isinstance(frame.method, Basic.Nack):
                answered.set_exception(RuntimeError("the broker refused it"))

    def _replied(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        answered = self._asked.get(properties.correlation_id)
        if answered is not None and not answered.done():
            answered.set_result(body)


def _make(amqp_url: str) -> Flask:
    app, asker = Flask("bare_command"), Requester(amqp_url, _QUEUE)

    @app.post("/run/<name>")
    def run(name: str) -> Response:
        run_id = str(uuid.uuid4())
        reply = asker.ask(run_id, json.dumps({"name": name, "run_id": run_id}).encode())
        return jsonify(json.loads(reply))

    return app


def _record(amqp_url: str, database_url: str) -> None:
    """Take messages, insert, commit, reply and ack until a signal stops the process.

    Messages that arrive during a commit, at most ``_BATCH``, wait in the socket and are the next batch.
    """
    batch: list[tuple[Any, Any, bytes]] = []
    database = psycopg2.connect(database_url)

    def write(channel: Any) -> None:
        with database, database.cursor() as cursor:  # one transaction; execute_values: executemany in one statement
            rows = [(properties.correlation_id, body.decode()) for _method, properties, body in batch]
            execute_values(cursor, _WRITE, rows, page_size=_BATCH)
        for _method, asked, _body in batch:
            reply = json.dumps({"run_id": asked.correlation_id}).encode()
            channel.basic_publish("", asked.reply_to, reply, pika.BasicProperties(correlation_id=asked.correlation_id))
        channel.basic_ack(batch[-1][0].delivery_tag, multiple=True)
        batch.clear()

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if not batch:
            connection.ioloop.call_later(0, partial(write, channel))  # after all messages that have arrived were taken
        batch.append((method, properties, body))

    def consume(channel: Any) -> None:
        channel.basic_qos(prefetch_count=_BATCH)
        channel.basic_consume(_QUEUE, take)

    connection = _connect(amqp_url, consume)
    connection.ioloop.start()


@contextmanager
def bare_command(amqp_url: str, database_url: str, port: int, threads: int) -> Iterator[dict[str, int]]:
    """Run both processes and yield their ids; remove the queue and the table afterwards."""
    parameters = pika.URLParameters(amqp_url)
    parameters.heartbeat = 0  # this connection stays idle
    with ExitStack() as stack:
        channel = stack.enter_context(pika.BlockingConnection(parameters)).channel()
        database = stack.enter_context(closing(psycopg2.connect(database_url)))
        database.autocommit = True
        cursor = database.cursor()
        channel.queue_declare(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        stack.callback(channel.queue_delete, _QUEUE)
        cursor.execute(_CREATE)
        stack.callback(cursor.execute, "DROP TABLE bare_commands")
        recorder = stack.enter_context(running(__name__, "record", amqp_url, database_url))
        route = stack.enter_context(running(__name__, "serve", amqp_url, str(port), str(threads)))
        yield {"route": route, "recorder": recorder}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        run_gunicorn(partial(_make, sys.argv[2]), "127.0.0.1", int(sys.argv[3]), threads=int(sys.argv[4]))
    else:
        _record(*sys.argv[2:])
