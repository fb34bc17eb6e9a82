"""Publishes the outbox to the broker.

``publish`` is called right after the commit and does not wait for confirms; confirmed rows are deleted in batches. A
sweep finds overdue rows and claims each by renewing its time, so that no other scheduler sweeps it too. If the broker
refused a message, the same process sends it again. If a process was killed, any scheduler sends its messages. They may
have been sent before, so they are marked, and a worker asks before it begins such a task.
"""

import contextlib
import logging
import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event as StopEvent
from typing import Any

from services.scheduler.core.messages import TaskUndelivered
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.rows import broker_queue_of_row
from services.scheduler.metrics import OUTBOX_SWEPT
from shared.contracts.codec import decode, decode_as
from shared.contracts.tasks import FRESH_S, SKEW_S, Task
from shared.errors import (
    BrokerUnavailable,
    DecodeFailed,
    MessageTooLarge,
    PublishUnconfirmed,
    StoreUnavailable,
    Unroutable,
)
from shared.faults import point
from shared.store.writes.transaction import Store
from shared.transport.base import MOST_NAME_BYTES, BrokerQueue, Outgoing, Transport

__all__ = ["OVERDUE_S", "STALE_S", "Relay"]

_log = logging.getLogger(__name__)

STALE_S = FRESH_S + SKEW_S
"""If a row is this old, the process that wrote it probably did not send it: the row would be deleted by now.

No worker begins the first copy without asking any more.
"""
_SWEEP_EVERY_S = 8
"""How often refused messages are sent again. ``Poll`` finds overdue rows of other schedulers sooner."""
_IDLE_S = 60.0
_AGAIN_S = 1.0
"""The pause before the next try to tell a run, which was locked, that its task reached no worker."""
_DELETE_AT_MOST = 500
_SWEEP_AT_MOST = 500
OVERDUE_S = STALE_S + _SWEEP_EVERY_S
"""A sweep sends a message within this time after its commit, if the broker and at least one scheduler run."""
_LAST_CONFIRMS_S = 1.0
_GATHER_S = 0.5
"""How long confirmed rows are collected before they are deleted together; well below ``STALE_S``."""

Notices = Iterable[tuple[str, TaskUndelivered]]


class Relay:
    """Publishes the messages of committed transactions.

    ``notice`` gets the tasks that reached no worker, and returns the runs that it could not notify yet.
    """

    def __init__(
        self, store: Store, transport: Transport, clock: Callable[[], datetime], notice: Callable[[Notices], set[str]]
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._notice = notice
        self._confirmed: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Ids of messages that the broker has confirmed. An empty text only ends a wait."""
        self._undelivered: queue.SimpleQueue[tuple[Outgoing, str]] = queue.SimpleQueue()
        """Tasks that reached no worker, with the reason."""
        self._known: set[str] = set()
        """Names of broker queues that exist, as far as this scheduler knows."""
        self._under_way: set[str] = set()
        """Ids of messages that were sent and perhaps accepted, but are not deleted yet. Do not send them again."""
        self._refused: set[str] = set()
        """Ids of messages that the broker certainly did not accept."""
        self._overdue = True
        """Whether the outbox may have overdue rows."""

    def follow(self, after: PostCommit) -> None:
        self.publish(after.outgoing)

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send messages without waiting for confirms. A message that fails stays in the outbox."""
        for message in messages:
            if len(message.queue.name.encode()) > MOST_NAME_BYTES:
                # An earlier release has named the queue. The core makes the task anew, for the present name.
                self._under_way.add(message.message_id)
                self._note_undelivered(message, "the name of its broker queue is too long")
                continue
            self._declare(message.queue)
            point("relay.before_publish")
            self._under_way.add(message.message_id)
            future = self._transport.send(message)
            future.add_done_callback(lambda done, message=message: self._settle(message, done.exception()))  # type: ignore[misc]

    def _declare(self, broker_queue: BrokerQueue) -> None:
        # The broker queue of a worker selector must exist even if no matching worker has started yet.
        if broker_queue.expires_s is None and broker_queue.name not in self._known:
            try:
                self._transport.declare([broker_queue])
            except BrokerUnavailable:
                return
            self._known.add(broker_queue.name)

    def _settle(self, message: Outgoing, error: BaseException | None) -> None:
        if error is None:
            self._confirmed.put(message.message_id)
        elif isinstance(error, Unroutable):
            # Somebody has deleted the broker queue, or another broker without it has taken over.
            self._known.discard(message.queue.name)
            self._note_undelivered(message, f"broker queue {message.queue.name} does not exist")
        elif isinstance(error, MessageTooLarge):
            # An earlier release has made the task. The core makes it anew, and fails a step whose task is too large.
            self._note_undelivered(message, str(error))
        else:
            self._under_way.discard(message.message_id)
            if isinstance(error, BrokerUnavailable) and not isinstance(error, PublishUnconfirmed):
                self._refused.add(message.message_id)
                self.wake()

    def _note_undelivered(self, message: Outgoing, why: str) -> None:
        self._undelivered.put((message, why))
        self.wake()

    def note_overdue(self) -> None:
        """Note that the outbox has overdue rows."""
        self._overdue = True
        self.wake()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._confirmed.put("")

    def run(self, stop: StopEvent) -> None:
        """Delete confirmed rows and sweep overdue rows until ``stop``; the body of a background thread."""
        next_sweep_s = time.monotonic()
        while not stop.is_set():
            try:
                self._clear(stop, timeout_s=self._wait_s(next_sweep_s))
                if self._overdue or (self._refused and time.monotonic() >= next_sweep_s):
                    self._overdue = False
                    while self.sweep(self._clock()) == _SWEEP_AT_MOST and not stop.is_set():
                        self._clear(stop, timeout_s=0)
                    next_sweep_s = time.monotonic() + _SWEEP_EVERY_S
            except StoreUnavailable as error:
                _log.warning("relay.waits", extra={"error": str(error)})
                self._overdue = True
                stop.wait(1)
        self._clear_the_last(stop)

    def _wait_s(self, next_sweep_s: float) -> float:
        if self._overdue:
            return 0
        if not self._undelivered.empty():
            return _AGAIN_S
        return max(0.0, next_sweep_s - time.monotonic()) if self._refused else _IDLE_S

    def _clear_the_last(self, stop: StopEvent) -> None:
        """Wait a second for the confirms of the last messages: a row that stays is sent again by another scheduler."""
        until = time.monotonic() + _LAST_CONFIRMS_S
        with contextlib.suppress(StoreUnavailable):
            while (left_s := until - time.monotonic()) > 0 and self._under_way:
                self._clear(stop, timeout_s=left_s)

    def _clear(self, stop: StopEvent, timeout_s: float) -> None:
        ids: list[str] = []
        with contextlib.suppress(queue.Empty):
            ids.append(self._confirmed.get(timeout=timeout_s))
            # Waking for each row costs more than deleting it.
            if self._confirmed.qsize() < _DELETE_AT_MOST:
                stop.wait(min(timeout_s, _GATHER_S))
            while len(ids) < _DELETE_AT_MOST:
                ids.append(self._confirmed.get_nowait())
        self._finish([one for one in ids if one])
        self._notify_undelivered()

    def _finish(self, ids: list[str]) -> None:
        if not ids:
            return
        point("relay.confirmed")
        try:
            with self._store.begin() as tx:
                tx.outbox.delete(ids)
        except StoreUnavailable:
            for one in ids:
                self._confirmed.put(one)
            raise
        self._under_way.difference_update(ids)

    def _notify_undelivered(self) -> None:
        """Notify the core of tasks that reached no worker; the core sends new tasks."""
        messages = []
        while not self._undelivered.empty():
            messages.append(self._undelivered.get())
        if not messages:
            return
        notices = [_notice_of(message, why) for message, why in messages]
        try:
            locked = self._notice(notices)
        except StoreUnavailable:
            for message, why in messages:
                self._note_undelivered(message, why)
            raise
        done = []
        for (message, why), (key, _) in zip(messages, notices, strict=True):
            if key in locked:
                self._undelivered.put((message, why))
            else:
                done.append(message.message_id)
        self._finish(done)

    def sweep(self, now: datetime) -> int:
        """Send overdue and refused messages, if the broker is available; return how many were found."""
        if not self._transport.healthy:
            return 0
        refused = sorted(self._refused)[:_SWEEP_AT_MOST]
        with self._store.begin() as tx:
            found = tx.outbox.overdue(now - timedelta(seconds=STALE_S), refused, _SWEEP_AT_MOST)
            rows = [row for row in found if row["id"] not in self._under_way]
            tx.outbox.put_off([row["id"] for row in rows], now)
            # The dispatch time of a task is set to now, so that it does not count as lost too early. A task that has
            # started was sent before: it is deleted, because a second copy might run a second time.
            tasks = _tasks(rows)
            waiting = tx.outbox.dispatched_again({task.token: task.run_key for task in tasks.values()}, now)
            sent = {message_id for message_id, task in tasks.items() if task.token not in waiting}
            tx.outbox.delete(sorted(sent))
        self._refused.difference_update(refused)
        if rows:
            _log.info("outbox.swept", extra={"count": len(rows), "sent_before": len(sent)})
            OUTBOX_SWEPT.inc(len(rows) - len(sent))
        # The message of a process that is dead, frozen or slow may have been accepted, or still be on its way.
        self.publish(
            [
                Outgoing(broker_queue_of_row(row["route"]), row["body"], row["id"], again=row["id"] not in refused)
                for row in rows
                if row["id"] not in sent
            ]
        )
        return len(rows)


def _notice_of(message: Outgoing, why: str) -> tuple[str, TaskUndelivered]:
    """Return the notice to the run of a task that reached no worker."""
    task = decode_as(message.body, Task)
    return task.run_key, TaskUndelivered(task.node, task.token, why, never_sent=not message.again)


def _tasks(rows: Iterable[Mapping[str, Any]]) -> dict[str, Task]:
    """Return the messages that are tasks, by message id."""
    found = {}
    for row in rows:
        try:
            body = decode(row["body"]).body
        except DecodeFailed as error:
            _log.error("outbox.unreadable", extra={"id": row["id"], "error": str(error), "next": "report this"})
            continue
        if isinstance(body, Task):
            found[row["id"]] = body
    return found
