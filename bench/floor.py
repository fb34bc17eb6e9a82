"""The floor: the thinnest engine that does the real work on the same Postgres and RabbitMQ, to compare Dagway with.

The control process takes all starts and reports that have arrived, records them in one transaction, publishes the tasks
that follow with confirms, and acks what it took when the broker has confirmed. A worker takes a task, spawns the
command, waits for it, publishes the report with a confirm, and then acks the task. It has no names, no retries, no
leases, no API: the client publishes the start and gets the reply when the run has ended. Its only log is a file for
each step that prints lines (w5), which nobody can read while it grows.

A *thorough* floor also does what Dagway needs to show what runs, and to tell whether a worker that died had begun a
step: a worker reports each start, and spawns the command when the broker has confirmed the report. And each step has a
file for its output and one for its errors.

``python -m bench.floor control AMQP_URL DATABASE_URL`` and ``worker AMQP_URL SLOTS FOLDER_FOR_LOGS [thorough]`` run one
process; the function ``floor`` runs all.
"""

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
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pika
import psycopg2
from psycopg2.extras import execute_values

from bench.bare_hop import Requester
from bench.rig import Servers, running

__all__ = ["STARTS", "Floor", "floor"]

STARTS, _TASKS, _REPORTS = "floor-starts", "floor-tasks", "floor-reports"
"""Queues. A start has the keys ``steps``, ``chain`` and perhaps ``lines``; its reply comes when the run has ended."""
_BATCH = 64
_CREATE = """
CREATE TABLE floor_runs (id text PRIMARY KEY, body text NOT NULL, ended_at timestamptz);
CREATE TABLE floor_steps (
    run text, idx int, code int, began_at timestamptz, ended_at timestamptz, PRIMARY KEY (run, idx)
)
"""
_RUNS = "INSERT INTO floor_runs (id, body) VALUES %s ON CONFLICT DO NOTHING"
_BEGUN = "INSERT INTO floor_steps (run, idx, began_at) VALUES %s ON CONFLICT DO NOTHING"
_STEPS = """
INSERT INTO floor_steps (run, idx, code, ended_at) VALUES %s
ON CONFLICT (run, idx) DO UPDATE SET code = excluded.code, ended_at = excluded.ended_at
"""
_ENDED = "UPDATE floor_runs SET ended_at = now() WHERE id = ANY(%s)"
_SHELL = ("sh", "-e", "-c")


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


def _control(amqp_url: str, database_url: str) -> None:
    database = psycopg2.connect(database_url)
    left: dict[str, int] = {}
    """How many steps of a run have not ended."""
    asked: dict[str, tuple[dict[str, Any], Any]] = {}
    batch: list[tuple[Any, Any, bytes]] = []
    unacked: deque[list[int]] = deque()
    """The last delivery tag of each batch, and how many of its tasks the broker has not confirmed."""

    def ack(channel: Any) -> None:
        upto = 0
        while unacked and not unacked[0][1]:
            upto = unacked.popleft()[0]
        if upto:
            channel.basic_ack(upto, multiple=True)

    def decide(channel: Any, publisher: _Publisher) -> None:
        runs, begun, steps, ended, tasks = [], [], [], [], []
        now = datetime.now(UTC)
        for method, properties, body in batch:
            message = json.loads(body)
            if method.routing_key == STARTS:
                run = properties.correlation_id
                asked[run], left[run] = (message, properties), message["steps"]
                runs.append((run, body.decode()))
                tasks += [(run, idx) for idx in range(1 if message["chain"] else message["steps"])]
                continue
            run, idx = message["run"], message["idx"]
            if "code" not in message:
                begun.append((run, idx, now))
                continue
            steps.append((run, idx, message["code"], now))
            left[run] -= 1
            if not left[run]:
                ended.append(run)
            elif asked[run][0]["chain"]:
                tasks.append((run, idx + 1))
        with database, database.cursor() as cursor:  # one transaction
            for statement, rows in ((_RUNS, runs), (_BEGUN, begun), (_STEPS, steps)):
                if rows:
                    execute_values(cursor, statement, rows, page_size=_BATCH)
            if ended:
                cursor.execute(_ENDED, (ended,))
        entry = [batch[-1][0].delivery_tag, len(tasks)]
        unacked.append(entry)
        batch.clear()

        def confirmed() -> None:
            entry[1] -= 1
            ack(channel)

        for run, idx in tasks:
            task = {"run": run, "idx": idx, "lines": asked[run][0].get("lines", 0)}
            publisher.send(_TASKS, json.dumps(task).encode(), confirmed)
        for run in ended:
            properties = asked.pop(run)[1]
            channel.basic_publish(
                "", properties.reply_to, b"{}", pika.BasicProperties(correlation_id=properties.correlation_id)
            )
        ack(channel)

    def handler(connection: Any, _channel: Any, publisher: _Publisher) -> Callable[..., None]:
        def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            if not batch:
                connection.ioloop.call_later(0, lambda: decide(channel, publisher))
            batch.append((method, properties, body))

        return take

    _serve(amqp_url, [STARTS, _REPORTS], 200, handler)


def _spawn(task: dict[str, Any], logs: Path, streams: tuple[int, ...]) -> int:
    """Start the command of a task and return its process id. Each of these streams goes to a file of the step."""
    script, file = f"seq {task['lines']}" if task["lines"] else "true", logs / f"{task['run']}-{task['idx']}"
    opened = [(os.POSIX_SPAWN_OPEN, one, f"{file}.{one}", os.O_WRONLY | os.O_CREAT, 0o600) for one in streams]
    return os.posix_spawnp(_SHELL[0], (*_SHELL, script), os.environ, file_actions=opened)


def _worker(amqp_url: str, slots: int, logs: Path, *, thorough: bool) -> None:
    threads = ThreadPoolExecutor(slots)

    def handler(connection: Any, channel: Any, publisher: _Publisher) -> Callable[..., None]:
        def report(message: dict[str, Any], done: Callable[[], None]) -> None:
            body = json.dumps(message).encode()
            connection.ioloop.add_callback_threadsafe(lambda: publisher.send(_REPORTS, body, done))

        def run(tag: int, task: dict[str, Any]) -> None:
            if thorough:
                confirmed = threading.Event()
                report(task, confirmed.set)
                confirmed.wait()
            streams = (1, 2) if thorough else (1,) if task["lines"] else ()
            code = os.waitstatus_to_exitcode(os.waitpid(_spawn(task, logs, streams), 0)[1])
            report({**task, "code": code}, partial(channel.basic_ack, tag))

        def take(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
            threads.submit(run, method.delivery_tag, json.loads(body))

        return take

    _serve(amqp_url, [_TASKS], slots, handler)


class Floor:
    """A client of the floor's processes, whose ids by kind are ``pids``."""

    def __init__(self, amqp_url: str, pids: dict[str, list[int]]) -> None:
        self.pids = pids
        self._requester = Requester(amqp_url, STARTS)

    def run(self, steps: int, *, chain: bool, lines: int = 0) -> None:
        """Run steps, one after the other or all at once, and return when they have ended. Each may print lines."""
        start = {"steps": steps, "chain": chain, "lines": lines}
        self._requester.ask(str(uuid.uuid4()), json.dumps(start).encode())


@contextmanager
def floor(servers: Servers, amqp_url: str, workers: int, *, slots: int = 8, thorough: bool = False) -> Iterator[Floor]:
    """Run the processes on these servers, in a vhost and a database of their own. ``slots``: of each worker."""
    database_url = servers.postgres.create_database()
    with ExitStack() as stack:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            channel = connection.channel()
            for queue in (STARTS, _TASKS, _REPORTS):
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        with closing(psycopg2.connect(database_url)) as database, database, database.cursor() as cursor:
            cursor.execute(_CREATE)
        control = stack.enter_context(running(__name__, "control", amqp_url, database_url))
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-"))
        worker = ("worker", amqp_url, str(slots), logs, *["thorough"] * thorough)
        hands = [stack.enter_context(running(__name__, *worker)) for _ in range(workers)]
        yield Floor(amqp_url, {"control": [control], "workers": hands})


if __name__ == "__main__":
    if sys.argv[1] == "control":
        _control(*sys.argv[2:])
    else:
        _worker(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), thorough="thorough" in sys.argv)
