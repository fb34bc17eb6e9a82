"""The floor: the thinnest engine that does the real work on the same Postgres and RabbitMQ, to compare Dagway with.

The control process takes all starts and reports that have arrived, records them in one transaction, publishes the tasks
that follow with confirms, and acks what it took when the broker has confirmed. A worker takes a task, spawns the
command, waits for it, publishes the report with a confirm, and then acks the task. It has no names, no retries, no
leases, no API: the client publishes the start and gets the reply when the run has ended. Its only log is a file for
each step that prints lines (w5), which nobody can read while it grows.

It can do more of what Dagway does (``Promises``), to tell what that costs the thinnest engine.

``python -m bench.floor.engine control AMQP_URL DATABASE_URL PROMISES`` and ``worker AMQP_URL SLOTS FOLDER_FOR_LOGS
PROMISES`` run one process; the function ``floor`` runs all.
"""

import hmac
import json
import os
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pika
import psycopg2

from bench.floor.bare_command import Requester
from bench.floor.decisions import CREATE, Decision, Promises, Runs
from bench.systems.rig import Servers, running

__all__ = ["SLOTS", "STARTS", "Floor", "floor", "pack", "unpack"]

STARTS, _TASKS, _REPORTS = "floor-starts", "floor-tasks", "floor-reports"
"""Queues. A start has the keys ``steps``, ``chain`` and perhaps ``lines``; its reply comes when the run has ended."""
SLOTS = 8
"""Of each worker, as of the peers'."""
_PREFETCH = 200
_STARTS_WAIT_S = 0.05
"""How long the report of a start waits for other messages, so that it shares their transaction."""
_MOST_OUTPUT = 64 * 1024
_SHELL = ("sh", "-e", "-c")
_KEY = b"any key costs the same"
_SIGNATURE_BYTES = 32


def pack(message: Any, promises: Promises) -> bytes:
    """Return a message as bytes, signed if that is promised."""
    body = json.dumps(message).encode()
    return body + hmac.digest(_KEY, body, "sha256") if promises is Promises.ALL else body


def unpack(body: bytes, promises: Promises) -> Any:
    """Return what ``pack`` packed. Raises ``ValueError`` if the signature is wrong."""
    if promises is Promises.ALL:
        body, signature = body[:-_SIGNATURE_BYTES], body[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, hmac.digest(_KEY, body, "sha256")):
            raise ValueError("the signature is wrong")
    return json.loads(body)


class _Publisher:
    """Publishes on one channel and calls back when the broker has confirmed."""

    def __init__(self, channel: Any) -> None:
        self._channel, self._sent = channel, 0
        self._waiting: dict[int, Callable[[], None]] = {}
        channel.confirm_delivery(self._confirmed)

    def send(self, queue: str, body: bytes, done: Callable[[], None]) -> None:
        self._sent += 1
        self._waiting[self._sent] = done
        self._channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        tags = list(takewhile(lambda sent: sent <= tag, self._waiting)) if frame.method.multiple else [tag]
        for each in tags:
            self._waiting.pop(each)()


def _serve(
    url: str, queues: list[str], prefetch: int, handler: Callable[[Any, Any, _Publisher], Callable[..., None]]
) -> None:
    """Consume until a signal. ``handler(connection, channel, publisher)`` returns the callback for deliveries."""

    def consume(publisher: _Publisher, channel: Any) -> None:
        channel.basic_qos(prefetch_count=prefetch)
        take = handler(connection, channel, publisher)
        for queue in queues:
            channel.basic_consume(queue, take)

    def opened(channel: Any) -> None:
        connection.channel(on_open_callback=partial(consume, _Publisher(channel)))

    connection = pika.SelectConnection(
        pika.URLParameters(url), on_open_callback=lambda connected: connected.channel(on_open_callback=opened)
    )
    connection.ioloop.start()


class _Control:
    """The control process: takes starts and reports, and decides about all that have arrived."""

    def __init__(self, database_url: str, promises: Promises) -> None:
        self._database, self._promises = psycopg2.connect(database_url), promises
        self._runs = Runs()
        self._batch: list[tuple[Any, Any, bytes]] = []
        self._unacked: deque[list[int]] = deque()
        """The last delivery tag of each batch, and how many of its tasks the broker has not confirmed."""
        self._sent: list[str] = []
        """Tasks that the broker has confirmed, and that the database still has as unsent."""
        self._deciding = self._holding = False
        """Whether a decision is due at once, and whether one is due about the starts that wait."""

    def handler(self, connection: Any, channel: Any, publisher: _Publisher) -> Callable[..., None]:
        def decide(*, held: bool) -> None:
            if held:
                self._holding = False
            else:
                self._deciding = False
            if self._batch and not self._deciding:
                self._decide(channel, publisher)

        def take(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._batch.append((method, properties, body))
            if not _is_begin(method, body):
                if not self._deciding:
                    self._deciding = True
                    connection.ioloop.call_later(0, partial(decide, held=False))
            elif not self._holding:
                self._holding = True
                connection.ioloop.call_later(_STARTS_WAIT_S, partial(decide, held=True))

        return take

    def _decide(self, channel: Any, publisher: _Publisher) -> None:
        found = Decision(self._promises)
        for method, properties, body in self._batch:
            message = unpack(body, self._promises)
            if method.routing_key == STARTS:
                self._runs.start(properties.correlation_id, message, properties, found)
            else:
                self._runs.report(message, found)
        lines = {run: self._runs.asked[run][0].get("lines", 0) for run, _ in found.tasks}
        tasks = {
            f"{run}-{idx}": pack({"run": run, "idx": idx, "lines": lines[run]}, self._promises)
            for run, idx in found.tasks
        }
        sent, self._sent = self._sent, []
        with self._database, self._database.cursor() as cursor:  # one transaction
            found.write(cursor, tasks, sent)
        entry = [self._batch[-1][0].delivery_tag, len(tasks)]
        self._unacked.append(entry)
        self._batch.clear()

        def confirmed(task: str) -> None:
            self._sent.append(task)
            entry[1] -= 1
            self._ack(channel)

        for task, body in tasks.items():
            publisher.send(_TASKS, body, partial(confirmed, task))
        for run in found.ended:
            properties = self._runs.asked.pop(run)[1]
            about = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, pack({}, self._promises), about)
        self._ack(channel)

    def _ack(self, channel: Any) -> None:
        upto = 0
        while self._unacked and not self._unacked[0][1]:
            upto = self._unacked.popleft()[0]
        if upto:
            channel.basic_ack(upto, multiple=True)


def _is_begin(method: Any, body: bytes) -> bool:
    return method.routing_key == _REPORTS and b'"code"' not in body


def _spawn(task: dict[str, Any], logs: Path, promises: Promises) -> tuple[int, list[str]]:
    """Start the command of a task; return its process id, and the files of its output and of its errors."""
    script, file = f"seq {task['lines']}" if task["lines"] else "true", logs / f"{task['run']}-{task['idx']}"
    streams = (1, 2) if promises >= Promises.STARTS else (1,) if task["lines"] else ()
    files = [f"{file}.{stream}" for stream in streams]
    opened = [
        (os.POSIX_SPAWN_OPEN, stream, file, os.O_WRONLY | os.O_CREAT, 0o600)
        for stream, file in zip(streams, files, strict=True)
    ]
    argv, own_session = (*_SHELL, script), promises is Promises.ALL
    return os.posix_spawnp(_SHELL[0], argv, os.environ, file_actions=opened, setsid=own_session), files


def _worker(amqp_url: str, slots: int, logs: Path, promises: Promises) -> None:
    threads = ThreadPoolExecutor(slots)

    def handler(connection: Any, channel: Any, publisher: _Publisher) -> Callable[..., None]:
        def report(message: dict[str, Any], done: Callable[[], None]) -> None:
            body = pack(message, promises)
            connection.ioloop.add_callback_threadsafe(lambda: publisher.send(_REPORTS, body, done))

        def run(tag: int, body: bytes) -> None:
            task = unpack(body, promises)
            if promises >= Promises.STARTS:
                confirmed = threading.Event()
                report(task, confirmed.set)
                confirmed.wait()
            pid, files = _spawn(task, logs, promises)
            ended = {**task, "code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
            if promises is Promises.ALL:
                ended["output"] = [_first_part(file) for file in files]
            report(ended, partial(channel.basic_ack, tag))

        def take(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
            threads.submit(run, method.delivery_tag, body)

        return take

    _serve(amqp_url, [_TASKS], slots, handler)


def _first_part(file: str) -> str:
    with Path(file).open("rb", buffering=0) as opened:
        return opened.read(_MOST_OUTPUT).decode(errors="replace")


class Floor:
    """A client of the floor's processes, whose ids by kind are ``pids``."""

    def __init__(self, amqp_url: str, database_url: str, promises: Promises, pids: dict[str, list[int]]) -> None:
        self.pids, self.database_url, self._promises = pids, database_url, promises
        self._requester = Requester(amqp_url, STARTS)

    def run(self, steps: int, *, chain: bool, lines: int = 0) -> None:
        """Run steps, one after the other or all at once, and return when they have ended. Each may print lines."""
        start = {"steps": steps, "chain": chain, "lines": lines}
        self._requester.ask(str(uuid.uuid4()), pack(start, self._promises))


@contextmanager
def floor(
    servers: Servers, amqp_url: str, workers: int, *, slots: int = SLOTS, promises: Promises = Promises.RUNS
) -> Iterator[Floor]:
    """Run the processes on these servers, in a vhost and a database of their own. ``slots``: of each worker."""
    database_url = servers.postgres.create_database()
    with ExitStack() as stack:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            channel = connection.channel()
            for queue in (STARTS, _TASKS, _REPORTS):
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        with closing(psycopg2.connect(database_url)) as database, database, database.cursor() as cursor:
            cursor.execute(CREATE)
        kept = str(promises.value)
        control = stack.enter_context(running(__name__, "control", amqp_url, database_url, kept))
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-"))
        worker = ("worker", amqp_url, str(slots), logs, kept)
        hands = [stack.enter_context(running(__name__, *worker)) for _ in range(workers)]
        yield Floor(amqp_url, database_url, promises, {"control": [control], "workers": hands})


if __name__ == "__main__":
    kept = Promises(int(sys.argv[-1]))
    if sys.argv[1] == "control":
        _serve(sys.argv[2], [STARTS, _REPORTS], _PREFETCH, _Control(sys.argv[3], kept).handler)
    else:
        _worker(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), kept)
