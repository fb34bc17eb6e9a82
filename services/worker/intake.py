"""Take tasks from the broker while there is a free slot.

While a worker with one free slot consumes several broker queues, several tasks may arrive. Those without a slot are
kept for a moment and get the next free slots; only then does the worker take new tasks. A task is handed back, i.e.
returned to the broker, if no slot becomes free in time, the disk is full or the worker is stopping: a worker has no
right to send a copy. The broker then delivers it as ``redelivered``, and whoever gets it asks a scheduler before it
begins.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from services.worker.attempt.handler import TaskHandler
from services.worker.attempt.registry import AttemptRegistry
from services.worker.known_selectors import KnownSelectors
from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.reporting.metrics import WorkerCounters
from services.worker.reporting.reports import Reporter
from services.worker.run_files import RunFiles
from services.worker.task_consumer import TaskConsumer
from shared.contracts.codec import decode
from shared.contracts.tasks import Task
from shared.disk import DiskCheck
from shared.errors import DecodeFailed, SignatureRefused, Unavailable
from shared.log import bound
from shared.service import WatchedThread
from shared.tracing import SpanContext, within
from shared.transport.base import BrokerQueue, Delivery, WorkerTransport, event_queue, task_queue, worker_queue

__all__ = ["TaskIntake"]

_log = logging.getLogger(__name__)
_TAKE_S = 0.25
"""How often to check whether a kept task has to go back, and whether the disk has room again."""
_IDLE_S = 30.0
"""The longest wait for a task otherwise. A task ends the wait, and so does a stop or an order to drain."""
_HAND_BACK_S = 0.2
_KEEP_S = 1.0
"""How long a task without a slot is kept that another worker could take."""
_KEEP_OWN_S = 60.0
"""How long a task without a slot is kept that is addressed to this worker. The broker's limit is half an hour."""
_NO_THREAD = "look for steps with very many processes, and limit them by DAGWAY_STEP_MAX_PROCESSES"


def _nothing() -> None:
    """Do nothing, on a thread that then goes on with what waits."""


@dataclass(frozen=True, slots=True)
class _KeptTask:
    """A task for which no slot was free when it arrived. ``until``: when it is handed back (monotonic time)."""

    task: Task
    delivery: Delivery
    trace: str | None
    until: float


class TaskIntake:
    """Owns the slots, the consumer and the threads that attempts run on.

    ``on_failure`` is called if the thread that takes tasks dies: a worker that takes none must not look alive.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        *,
        worker_id: str,
        slots: int,
        selectors: KnownSelectors,
        handler: TaskHandler,
        attempts: AttemptRegistry,
        reporter: Reporter,
        counters: WorkerCounters,
        room: DiskCheck,
        run_files: RunFiles,
        on_failure: Callable[[], None],
        drained: bool = False,
    ) -> None:
        self._selectors = selectors
        self._handler = handler
        self._attempts = attempts
        self._reporter = reporter
        self._counters = counters
        self._room = room
        self._run_files = run_files
        self._full = False
        """Whether the disk is full. The worker then takes no tasks, since every step would fail."""
        self._free = slots
        self._kept: deque[_KeptTask] = deque()
        """Not empty only while no slot is free."""
        self._drained = drained
        """Whether an operator wants this worker to take no new runs."""
        self.own_only = drained
        """Whether only tasks that are addressed to this worker still arrive. The intake thread makes it so."""
        self._narrowed = drained
        """Whether only the queue of this worker is consumed."""
        self._learned = threading.Event()
        """Whether shared queues may have to be consumed that are not yet."""
        # Guards ``_free``, ``_kept`` and ``_full``, and the calls of pause and resume that follow from them.
        self._lock = threading.Lock()
        self._draining, self._drain_in_effect = threading.Event(), threading.Event()
        self._stopping = threading.Event()
        self._lacks_thread = False
        """Whether an attempt may wait for a thread that could not start."""
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="attempt")
        self._transport = transport
        self._own_queue = worker_queue(worker_id)
        queues = [self._own_queue, *([] if drained else self._shared_queues())]
        self._consumer = TaskConsumer(transport, queues, room=slots)
        self._thread = WatchedThread("intake", self._run, on_failure)

    def start(self) -> None:
        """Begin to take tasks."""
        self._thread.start()

    def consume_selector(self, selector: dict[str, str]) -> None:
        """Also consume the broker queue of ``selector``, if this worker's labels satisfy the selector. Never blocks."""
        if self._selectors.learn(selector) and not self._stopping.is_set():
            _log.info("selector.learned", extra={"selector": selector})
            self._learned.set()
            self._consumer.interrupt()

    def set_drained(self, drained: bool) -> None:
        """Stop taking new runs, as ``drain`` does, or take them again. Takes effect soon after; never blocks."""
        self._drained = drained
        self._consumer.interrupt()

    def kept_tokens(self) -> tuple[str, ...]:
        """Return the tokens of the tasks that wait here for a slot."""
        with self._lock:
            return tuple(kept.task.token for kept in self._kept)

    def drain(self) -> None:
        """From now on, take only tasks that are addressed to this worker: those of runs whose steps share its files.

        Returns when no other task is taken any more.
        """
        self._draining.set()
        self._consumer.interrupt()
        while self._thread.is_alive() and not self._drain_in_effect.wait(_TAKE_S):
            pass

    def stop(self) -> None:
        """Take no more tasks, and hand back the tasks that were already delivered. Running attempts go on."""
        self._stopping.set()
        self._consumer.pause()
        self._consumer.interrupt()
        if self._thread.ident is not None:
            self._thread.join()
        self._hand_back_kept(everything=True)
        for delivery in self._consumer.take(1_000, 0):
            self._accept(delivery)

    def close(self) -> None:
        """Release the consumer and the threads. All attempts must have ended."""
        self._consumer.close()
        self._pool.shutdown()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._follow_drain()
            self._consume_shared()
            self._resume_if_room()
            self._hand_back_kept(everything=self._full)
            self._ask_for_thread()
            for delivery in self._consumer.take(self._free or 1, self._wait_s()):
                self._accept(delivery)

    def _wait_s(self) -> float:
        if self._narrowed != self._wants_own_only() or self._learned.is_set():
            return 0  # the order may have interrupted a consumer that was just replaced
        waits = self._full or self._kept or self._lacks_thread or self.own_only != self._narrowed
        return _TAKE_S if waits else _IDLE_S

    def _shared_queues(self) -> list[BrokerQueue]:
        return [task_queue(selector) for selector in self._selectors.all()]

    def _consume_shared(self) -> None:
        """Consume the broker queues of all known selectors, unless only the queue of this worker is consumed."""
        if self._learned.is_set():
            self._learned.clear()
            for queue in () if self._narrowed else self._shared_queues():
                self._consumer.add_queue(queue)

    def _follow_drain(self) -> None:
        own_only = self._wants_own_only()
        if own_only and not self._narrowed:
            self._narrowed = True
            self._consumer.narrow([self._own_queue])
        elif self._narrowed and not own_only:
            self._narrowed = self.own_only = False
            self._learned.set()
        # What the broker has sent already is taken: a task that returns to the broker waits for a scheduler's word.
        self.own_only = self._narrowed and not self._consumer.winding_down
        if self.own_only and self._draining.is_set():
            self._drain_in_effect.set()

    def _wants_own_only(self) -> bool:
        return self._drained or self._draining.is_set()

    def _accept(self, delivery: Delivery) -> None:
        try:
            envelope = decode(delivery.body)
            task = envelope.body
            if not isinstance(task, Task):
                raise DecodeFailed(f"expected a message of type task, not {envelope.type}")
        except DecodeFailed as error:
            if not isinstance(error, SignatureRefused):  # that is counted and logged, at a bounded rate
                # The broker moves it to the dead letters, without the reason: only this line has it.
                about = {"message_id": delivery.message_id, "broker_queue": delivery.queue.name}
                _log.error("task.unreadable", extra={"error": str(error), **about, "next": "see the dead letters"})
            delivery.dead_letter(str(error))
            return
        if delivery.redelivered:
            self._counters.add("redelivered")
        if self._stopping.is_set() or self._is_full():
            self._hand_back(delivery)
        elif self._take_slot_or_keep(task, delivery, envelope.trace):
            self._begin(task, delivery, envelope.trace)

    def _begin(self, task: Task, delivery: Delivery, trace: str | None, *, kept: bool = False) -> None:
        """Begin an attempt that has a slot, or settle its task and free the slot if it must not begin. Never blocks."""
        stop = self._attempts.begin(task.token)
        if isinstance(stop, StopRequest):
            self._submit(task.token, self._attempt, task, stop, delivery, trace, kept)
        elif stop is StopKind.STOP:
            self._submit(task.token, self._refuse, task, delivery)
        else:
            self._free_slot()
            _log.info("task.dropped", extra={"token": task.token, "why": str(stop or "a copy")})
            delivery.ack()

    def _submit(self, token: str, work: Callable[..., None], *args: Any) -> None:
        try:
            self._pool.submit(work, *args)
        except RuntimeError as error:
            # Steps may have used up the processes that this container may have. The pool has kept the work.
            self._lacks_thread = True
            _log.warning("attempt.waits_for_thread", extra={"token": token, "error": str(error), "next": _NO_THREAD})

    def _ask_for_thread(self) -> None:
        """Begin what waits for a thread, if there is one again. It may also be one whose attempt has ended."""
        if self._lacks_thread:
            self._lacks_thread = False
            try:
                self._pool.submit(_nothing)
            except RuntimeError:
                self._lacks_thread = True

    def _refuse(self, task: Task, delivery: Delivery) -> None:
        """Report the end of an attempt that was stopped before its task arrived, then settle the task."""
        try:
            finished = self._handler.refuse(task)
            self._reporter.send(finished, event_queue(task.reports_to)).result()
            delivery.ack()
        except Unavailable as error:
            _log.warning("delivery.handed_back", extra={"error": str(error)})
            # The broker may redeliver the task immediately: wait, to avoid thousands of redeliveries a second.
            self._stopping.wait(_HAND_BACK_S)
            delivery.retry()
        finally:
            self._free_slot()

    def _attempt(self, task: Task, stop: StopRequest, delivery: Delivery, trace: str | None, kept: bool) -> None:
        over: Future[bool] | None = None
        try:
            facts = {"dag": task.dag_name, "run_id": task.dag_run_id, "step": task.step.name, "token": task.token}
            run_span = SpanContext.parse(trace) or SpanContext.named(task.run_key)
            with bound(**facts), within(run_span.child(task.token)), self._run_files.using(task):
                _log.info("attempt.taken")
                over = self._handler.run(task, stop, delivery, run_span, kept=kept)
        except BaseException:
            # A bug in Dagway. The lease of the attempt expires, so its run does not hang.
            _log.exception("attempt.crashed", extra={"token": task.token, "next": "report this"})
            self._attempts.drop(task.token)
            delivery.retry()
            raise
        finally:
            if over is None:
                self._free_slot()
            else:
                over.add_done_callback(lambda _: self._free_slot())

    def _hand_back(self, delivery: Delivery) -> None:
        # The consumer is paused, so the broker does not deliver the task here again before it resumes.
        self._counters.add("handed_back")
        delivery.retry()

    def _hand_back_kept(self, *, everything: bool) -> None:
        """Hand back the kept tasks whose time is up, or all of them."""
        now = time.monotonic()
        with self._lock:
            late = [kept for kept in self._kept if everything or kept.until <= now]
            self._kept = deque(kept for kept in self._kept if kept not in late)
        for kept in late:
            self._hand_back(kept.delivery)

    def _is_full(self) -> bool:
        lack = self._room.problem()
        if lack and not self._full:
            cure = f"{self._room.cure}: the worker then goes on by itself"
            _log.error("intake.waits", extra={"error": lack, "next": cure})
            with self._lock:
                self._full = True
                self._consumer.pause()
        return bool(lack)

    def _resume_if_room(self) -> None:
        if not self._full or self._room.problem():
            return
        _log.info("intake.goes_on")
        with self._lock:
            self._full = False
            if self._free:
                self._consumer.resume()

    def _take_slot_or_keep(self, task: Task, delivery: Delivery, trace: str | None) -> bool:
        """Take a slot and return ``True``; without a free slot, keep the task and return ``False``."""
        with self._lock:
            if self._free == 0:
                keep_s = _KEEP_OWN_S if delivery.queue == self._own_queue else _KEEP_S
                self._kept.append(_KeptTask(task, delivery, trace, time.monotonic() + keep_s))
                return False
            self._free -= 1
            if self._free == 0:
                # Before the ack, so that the broker delivers no task that would be handed back.
                self._consumer.pause()
            return True

    def _free_slot(self) -> None:
        """Free a slot, or give it to a kept task. Never blocks: the thread may be the connection's."""
        with self._lock:
            kept = self._kept.popleft() if self._kept and not self._full and not self._stopping.is_set() else None
            if kept is None:
                self._free += 1
                if self._free == 1 and not self._full and not self._stopping.is_set():
                    self._consumer.resume()
        if kept is not None:
            self._begin(kept.task, kept.delivery, kept.trace, kept=True)
