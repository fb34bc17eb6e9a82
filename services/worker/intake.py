"""Take tasks while there is a slot, and not one more.

A task this worker has no slot for, or no room on its disk, or that arrives while it stops, is handed back: a
fresh copy to the same route, confirmed, then the ack. So it goes to another worker without counting as redelivered.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.worker.attempt.held import Attempts
from services.worker.attempt.pipeline import Pipeline
from services.worker.process.outcome import StopKind
from services.worker.process.supervise import Stop
from services.worker.reporting.metrics import Counters
from services.worker.reporting.reports import Reporter
from shared.admission.workers import satisfies
from shared.contracts.codec import decode
from shared.contracts.tasks import Task
from shared.disk import DiskCheck
from shared.errors import DecodeFailed, Unavailable
from shared.log import bound
from shared.tracing import SpanContext, within
from shared.transport.base import Delivery, Outgoing, Transport, task_queue, worker_queue

__all__ = ["Intake", "KnownRoutes"]

_log = logging.getLogger(__name__)
_TAKE_S = 0.25
_GIVE_BACK_S = 0.2
"""Bounds how long a stop waits for the intake; a task wakes it at once."""


class KnownRoutes:
    """The selectors heard of that this worker satisfies, kept in a file over restarts."""

    def __init__(self, path: Path, labels: Mapping[str, str]) -> None:
        self._path = path
        self._labels = labels
        self._lock = threading.Lock()
        self._selectors: list[dict[str, str]] = [one for one in self._load() if satisfies(labels, one)]

    def selectors(self) -> list[dict[str, str]]:
        return list(self._selectors)

    def learn(self, selector: dict[str, str]) -> bool:
        """Return whether the selector is news and meant for this worker; it is remembered then."""
        with self._lock:
            if not selector or selector in self._selectors or not satisfies(self._labels, selector):
                return False
            self._selectors.append(selector)
            part = self._path.with_suffix(".part")
            try:
                part.write_text(json.dumps(self._selectors), encoding="utf-8")
                part.rename(self._path)
            except OSError as error:
                _log.warning("routes.not_kept", extra={"path": str(self._path), "error": str(error)})
            return True

    def _load(self) -> list[dict[str, str]]:
        try:
            return list(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except ValueError as error:
            # It only saves waiting for the next announcement.
            _log.warning("routes.unreadable", extra={"path": str(self._path), "error": str(error)})
            return []


class Intake:
    """Owns the slots, the consumer and the threads attempts run on."""

    def __init__(
        self,
        transport: Transport,
        *,
        worker_id: str,
        slots: int,
        routes: KnownRoutes,
        pipeline: Pipeline,
        attempts: Attempts,
        reporter: Reporter,
        counters: Counters,
        room: DiskCheck,
    ) -> None:
        self._transport = transport
        self._routes = routes
        self._pipeline = pipeline
        self._attempts = attempts
        self._reporter = reporter
        self._counters = counters
        self._room = room
        self._full = False
        """Whether it takes nothing until there is room on the disk: every step would fail here for want of it."""
        self._free = slots
        # Guards the count together with pause and resume: one of them alone would tell the wrong story.
        self._lock = threading.Lock()
        self._stopping = False
        self._halted = threading.Event()
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="attempt")
        self._route_opener = ThreadPoolExecutor(1, thread_name_prefix="routes")
        consumed = [task_queue({}), worker_queue(worker_id), *map(task_queue, routes.selectors())]
        self._consumer = transport.consume(consumed, prefetch=1)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open_route(self, selector: dict[str, str]) -> None:
        """Consume from a selector's route too, if the labels satisfy it. Never blocks."""
        if self._routes.learn(selector) and not self._stopping:
            _log.info("route.learned", extra={"selector": selector})
            self._route_opener.submit(self._consumer.add_queue, task_queue(selector))

    def stop(self) -> None:
        """Take no more; what is under way to this worker is handed back. Attempts go on."""
        self._stopping = True
        self._halted.set()
        self._consumer.pause()
        if self._thread.ident is not None:
            self._thread.join()
        self._route_opener.shutdown()
        for delivery in self._consumer.take(1_000, 0):
            self._hand_back(delivery)

    def close(self) -> None:
        """Release the consumer and the threads; attempts must have ended."""
        self._consumer.close()
        self._pool.shutdown()

    def _run(self) -> None:
        while not self._stopping:
            self._look_for_room()
            for delivery in self._consumer.take(self._free or 1, _TAKE_S):
                self._accept(delivery)

    def _accept(self, delivery: Delivery) -> None:
        try:
            envelope = decode(delivery.body)
            task = envelope.body
            if not isinstance(task, Task):
                raise DecodeFailed(f"{envelope.type} is no task")
        except DecodeFailed as error:
            _log.error("task.unreadable", extra={"error": str(error), "next": "see the dead letters"})
            delivery.dead_letter(str(error))
            return
        if delivery.redelivered:
            self._counters.add("redelivered")
            _log.warning("task.redelivered", extra={"token": task.token})
            self._settle(delivery, lambda: self._reporter.send(self._pipeline.redelivered(task)).result())
            return
        if self._stopping or self._is_full() or not self._take_slot():
            self._hand_back(delivery)
            return
        stop = self._attempts.begin(task.token)
        if isinstance(stop, Stop):
            self._pool.submit(self._attempt, task, stop, delivery, envelope.trace)
            return
        self._free_slot()
        if stop is StopKind.STOP:
            finished = self._pipeline.refuse(task)
            self._settle(delivery, lambda: self._reporter.send(finished).result())
        else:
            _log.info("task.dropped", extra={"token": task.token, "why": str(stop or "a copy")})
            delivery.ack()

    def _attempt(self, task: Task, stop: Stop, delivery: Delivery, trace: str | None) -> None:
        try:
            facts = {"dag": task.dag_name, "run_id": task.dag_run_id, "step": task.step.name, "token": task.token}
            of_run = SpanContext.parse(trace) or SpanContext.named(task.run_key)
            with bound(**facts), within(of_run.child(task.token)):
                _log.info("attempt.taken")
                self._pipeline.run(task, stop, delivery, of_run)
                _log.info("attempt.over")
        except BaseException:
            # A bug: the lease of what it held runs out, so the run is not stuck for ever.
            _log.exception("attempt.crashed", extra={"token": task.token, "next": "report this"})
            self._attempts.drop(task.token)
            delivery.retry()
            raise
        finally:
            self._free_slot()

    def _hand_back(self, delivery: Delivery) -> None:
        self._counters.add("handed_back")
        copy = Outgoing(delivery.queue, delivery.body, delivery.message_id)
        self._settle(delivery, lambda: self._transport.send(copy).result())

    def _settle(self, delivery: Delivery, send: Callable[[], None]) -> None:
        """Ack once the broker has what replaces the delivery; else give the delivery back."""
        try:
            send()
        except Unavailable as error:
            _log.warning("delivery.given_back", extra={"error": str(error)})
            # It may come again at once, and nothing can be sent yet: not thousands of times a second.
            self._halted.wait(_GIVE_BACK_S)
            delivery.retry()
        else:
            delivery.ack()

    def _is_full(self) -> bool:
        lack = self._room.problem()
        if lack and not self._full:
            _log.error("intake.waits", extra={"error": lack, "next": "make room on the disk: it goes on by itself"})
            with self._lock:
                self._full = True
                self._consumer.pause()
        return bool(lack)

    def _look_for_room(self) -> None:
        if not self._full or self._room.problem():
            return
        _log.info("intake.goes_on")
        with self._lock:
            self._full = False
            if self._free:
                self._consumer.resume()

    def _take_slot(self) -> bool:
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            if self._free == 0:
                # Before the delivery is acked, so that none arrives which would only be handed back.
                self._consumer.pause()
            return True

    def _free_slot(self) -> None:
        with self._lock:
            self._free += 1
            if self._free == 1 and not self._full and not self._stopping:
                self._consumer.resume()
