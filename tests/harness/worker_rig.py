"""A worker in this process, by default on the embedded transport, with access to its reports."""

import itertools
import shutil
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any, Self, TypeVar

from services.worker.main import Worker, WorkerSettings
from shared.clock import utc_now
from shared.contracts.base import Message
from shared.contracts.codec import decode, encode
from shared.contracts.control import AttemptGranted
from shared.contracts.events import AttemptFinished, AttemptRequested, AttemptStarted, Event, LogChunk
from shared.contracts.tasks import Task
from shared.language.model import Step, StepCommand
from shared.transport.base import EVENTS, HEARTBEATS, LOGS, BrokerQueue, Consumer, Outgoing, Transport, task_queue
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["Rig", "command", "script", "task"]

M = TypeVar("M", bound=Message)
_numbers = itertools.count(1)


def command(*texts: str, argv: tuple[str, ...] = (), **fields: Any) -> Step:
    """Return a step called ``s`` with these commands."""
    return Step(name="s", commands=tuple(StepCommand(text=text, argv=argv) for text in texts), **fields)


def script(text: str, *, command: str = "", **fields: Any) -> Step:
    """Return a step called ``s`` with a script, optionally with a command that interprets it."""
    commands = (StepCommand(text=command, argv=tuple(command.split())),) if command else ()
    return Step(name="s", script=text, commands=commands, **fields)


def task(step: Step, *, token: str = "", **fields: Any) -> Task:
    """Return a task of run ``r1`` of dag ``d``."""
    facts: dict[str, Any] = {"run_key": "d/r1", "node": 0, "dag_name": "d", "dag_run_id": "r1"}
    facts |= {"root_dag_name": "d", "root_dag_run_id": "r1", "number": next(_numbers)}
    return Task(token=token, step=step, **{**facts, **fields})


class Rig:
    """Runs the worker between ``__enter__`` and ``__exit__``. ``grants``: every attempt that it asks for is granted."""

    def __init__(self, path: Path, *, transport: Transport | None = None, grants: bool = True, **options: Any) -> None:
        self.path = path
        self.transport: Transport = transport or EmbeddedTransport(None)
        self.seen: list[Event] = []
        self._grants = grants
        self._chunks: dict[str, list[LogChunk]] = defaultdict(list)
        parts = {name: options.pop(name) for name in ("guardian", "on_failure", "resolver") if name in options}
        settings = WorkerSettings(**{"worker_id": "w1", "slots": 100, "data_dir": path, **options})
        self.worker = Worker(self.transport, settings, **parts)
        self.transport.declare([HEARTBEATS])
        self._reports = self.transport.consume([EVENTS, LOGS], prefetch=1000)
        self._done = threading.Event()
        self._listener = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._listener.start()
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self._done.set()
        self._listener.join()
        self.transport.close()

    def work_dir(self) -> Path:
        """Return the default directory of the steps of run ``r1``."""
        folder = self.path.resolve() / "runs" / "d" / "r1"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear(self) -> None:
        """Remove the files of the steps of run ``r1``, for a next test."""
        shutil.rmtree(self.work_dir())

    def give(self, task: Task, route: BrokerQueue | None = None) -> None:
        """Send a task, by default to the broker queue of all workers."""
        body = encode(task, id=task.token, at=utc_now())
        self.transport.send(Outgoing(route or task_queue({}), body, task.token)).result()

    def run(self, task: Task) -> AttemptFinished:
        """Send a task with a new attempt token and wait for its end report."""
        token = f"run-{next(_numbers)}"
        self.give(task.model_copy(update={"token": token, "number": next(_numbers)}))
        return self.finished(token)

    def broadcast(self, topic: str, message: Message) -> None:
        self.transport.broadcast(topic, encode(message, id="control", at=utc_now()))

    def grant(self, asked: AttemptRequested) -> None:
        """Let the worker begin the attempt that it asked for."""
        self.broadcast(f"worker.{asked.worker_id}", AttemptGranted(token=asked.token, incarnation=asked.incarnation))

    def events(self, token: str) -> list[Event]:
        return [event for event in self.seen if event.token == token]

    def started(self, token: str) -> AttemptStarted:
        return self._awaited(token, AttemptStarted, PATIENCE_S)

    def finished(self, token: str, *, timeout_s: float = PATIENCE_S) -> AttemptFinished:
        return self._awaited(token, AttemptFinished, timeout_s)

    def logs(self, token: str) -> list[LogChunk]:
        """Return the log chunks that were sent separately, then the chunks in the end report, each once."""
        aboard = [event.logs for event in self.events(token) if isinstance(event, AttemptFinished)]
        every = [*self._chunks[token], *(chunk for chunks in aboard for chunk in chunks)]
        return list({(chunk.stream, chunk.seq): chunk for chunk in every}.values())

    def log(self, finished: AttemptFinished, stream: str) -> bytes:
        """Return the whole text of one stream, after checking that it has no gap."""
        chunks = sorted((one for one in self.logs(finished.token) if one.stream == stream), key=lambda one: one.seq)
        text = bytearray()
        for number, chunk in enumerate(chunks):
            assert (chunk.seq, chunk.offset) == (number, len(text))
            text += chunk.data
        return bytes(text)

    def taken(self, consumer: Consumer, kind: type[M]) -> list[M]:
        """Ack and decode the messages that a consumer has now."""
        found = []
        for delivery in consumer.take(10_000, 0.05):
            delivery.ack()
            body = decode(delivery.body).body
            assert isinstance(body, kind)
            found.append(body)
        return found

    def _awaited(self, token: str, kind: type[M], timeout_s: float) -> M:
        def found() -> M:
            of_kind = [event for event in self.events(token) if isinstance(event, kind)]
            assert of_kind, f"no {kind.__name__} for {token}"
            assert len(of_kind) == 1
            return of_kind[0]

        return eventually(found, timeout_s=timeout_s)

    def _listen(self) -> None:
        while not self._done.is_set():
            taken = [(decode(delivery.body).body, delivery) for delivery in self._reports.take(1000, 0.05)]
            # Chunks are sent before the end report, but one take returns events before logs.
            for chunk in (body for body, _ in taken if isinstance(body, LogChunk)):
                self._chunks[chunk.token].append(chunk)
            self.seen += (body for body, _ in taken if isinstance(body, Event))
            for body, delivery in taken:
                delivery.ack()
                if self._grants and isinstance(body, AttemptRequested):
                    self.grant(body)
