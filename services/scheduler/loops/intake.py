"""Takes messages from the broker and records them, one transaction for each batch; ``intakes`` says which and how.

Deliveries are acked only after the commit. While the database is unavailable, the process keeps its deliveries
instead of returning them, because each return counts against the broker's delivery limit. A message that cannot be
decoded is dead-lettered immediately. A message that causes an unexpected error is returned alone. If it is a command
and fails a second time, it becomes a dead letter, and its sender gets an error. Other messages are returned until the
broker's delivery limit.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.held_reports import HELD_S, HeldReports
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.metrics import DEAD_LETTERS
from shared.contracts.codec import Envelope, decode
from shared.contracts.markers import Marker
from shared.errors import DagwayError, DecodeFailed, RowsLocked, SignatureRefused
from shared.transport.base import Consumer, Delivery
from shared.transport.signed import check_reporter

__all__ = ["Intake", "Pairs"]

_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Delivery, Envelope]]
"""Messages, each with its delivery."""
T = TypeVar("T")
_TAKE_TIMEOUT_S = 30.0
"""Nothing depends on it: what an idle intake has to notice ends its wait."""
_DEFERRED_S = 0.05
"""How soon messages about locked runs are tried again."""


class Intake(Generic[T]):
    """One consumer and one thread, with one transaction for each batch of deliveries.

    ``prepare`` does what needs no transaction, and then ``record`` writes the messages of a batch in its transaction.
    ``find_early`` returns the ids of messages to keep unacknowledged and try again soon; others do not wait for them.
    After the commit, ``after_commit`` is called with the deliveries and the result of ``record``; then the deliveries
    are acked. ``refuse`` answers the sender of a message that failed twice for an unexpected reason, which then becomes
    a dead letter; without it such a message returns until the delivery limit. ``held``: where reports wait for the next
    decision about their run. This intake records them if there is none in time.
    """

    def __init__(
        self,
        transactor: Transactor,
        consumer: Consumer,
        *,
        expects: type,
        prepare: Callable[[Sequence[Envelope]], None] | None = None,
        find_early: Callable[[Batch, Pairs], frozenset[str]] = lambda _batch, _pairs: frozenset(),
        record: Callable[[Batch, Sequence[Envelope]], T],
        after_commit: Callable[[Pairs, T], None] | None = None,
        refuse: Callable[[Delivery, Envelope], None] | None = None,
        held: HeldReports | None = None,
        at_once: int,
    ) -> None:
        self._transactor = transactor
        self._consumer = consumer
        self._expects = expects
        self._prepare = prepare
        self._find_early = find_early
        self._record = record
        self._after_commit = after_commit
        self._refuse = refuse
        self._held = held
        self._at_once = at_once
        self._deferred: list[tuple[Delivery, Envelope]] = []
        """Messages about runs that another transaction has locked, oldest first. They stay unacknowledged."""
        self._early: list[tuple[Delivery, Envelope]] = []
        """Messages that ``find_early`` named, oldest first. They stay unacknowledged."""
        self.recorded_through_s = float("-inf")
        """All messages that arrived before this time of the monotonic clock are recorded."""
        self._woken = False

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop. It brings ``recorded_through_s`` up to now."""
        self._woken = True
        self._consumer.interrupt()

    def run(self, stop: threading.Event) -> None:
        """Take and record deliveries until ``stop``. Runs in a background thread."""
        while not stop.is_set():
            # Cleared before the clock is read, so that ``recorded_through_s`` reaches the time of ``wake``.
            woken, self._woken = self._woken, False
            before_s = time.monotonic()
            deliveries = self._consumer.take(self._at_once, 0 if woken else self._timeout_s(before_s))
            deferred, early, self._deferred, self._early = self._deferred, self._early, [], []
            unheld = self._hold(self._read(deliveries))
            pairs = [*deferred, *early, *self._held_until(HELD_S), *unheld]
            self._process_unlocked(pairs, stop, wait=not deferred)
            through_s = before_s if len(deliveries) < self._at_once else deliveries[-1].arrived_s
            if not stop.is_set() and self._consumer.connected_for_s > 0:
                waiting_s = [delivery.arrived_s for delivery, _ in [*self._deferred, *self._early]]
                if self._held is not None:
                    waiting_s.append(self._held.oldest_s)
                self.recorded_through_s = min([through_s, *waiting_s])
        self._process_unlocked(self._held_until(0), stop, wait=False)
        self._consumer.close()

    def _timeout_s(self, now_s: float) -> float:
        timeout_s = _DEFERRED_S if self._deferred or self._early else _TAKE_TIMEOUT_S
        if self._held is None:
            return timeout_s
        return max(0.0, min(timeout_s, self._held.waiting_since_s + HELD_S - now_s))

    def _hold(self, pairs: Pairs) -> Pairs:
        """Let reports wait that may; return the other messages."""
        if self._held is None:
            return pairs
        return [pair for pair in pairs if not self._transactor.hold(*pair)]

    def _held_until(self, age_s: float) -> Pairs:
        """Return the reports that found no company for this time, to record them as other messages."""
        if self._held is None:
            return []
        return [(report.delivery, report.envelope) for report in self._held.release(time.monotonic() - age_s)]

    def _read(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Envelope]]:
        pairs = []
        for delivery in deliveries:
            try:
                envelope = decode(delivery.body)
                check_reporter(delivery, envelope.body)
                if isinstance(envelope.body, Marker):
                    # All earlier messages of the queue were delivered before it; see ``report_marks``.
                    delivery.reply(b"")
                    delivery.ack()
                    continue
                if not isinstance(envelope.body, self._expects):
                    raise DecodeFailed(f"a message of type {envelope.type} must not be on {delivery.queue.name}")
            except DecodeFailed as error:
                self._unreadable(delivery, error)
            else:
                pairs.append((delivery, envelope))
        return pairs

    def _unreadable(self, delivery: Delivery, error: DecodeFailed) -> None:
        if not isinstance(error, SignatureRefused):  # that is counted and logged, at a bounded rate
            _log.error("delivery.unreadable", extra={"broker_queue": delivery.queue.name, "error": str(error)})
        DEAD_LETTERS.labels(delivery.queue.name).inc()
        delivery.dead_letter(str(error))

    def _process_unlocked(self, pairs: Pairs, stop: threading.Event, *, wait: bool) -> None:
        """Process messages, and defer those about runs that another transaction has locked.

        The messages of one run stay in order, and so do those about no run. ``wait``: whether to wait for locks,
        as long as no run was locked before.
        """
        try:
            self._process(pairs, stop, wait=wait)
        except RowsLocked:
            for run in _by_run(pairs):
                try:
                    self._process(run, stop, wait=False)
                except RowsLocked:
                    self._deferred.extend(run)
            if self._deferred and wait:
                _log.warning("delivery.deferred", extra={"count": len(self._deferred), "why": "another transaction"})

    def _process(self, pairs: Pairs, stop: threading.Event, *, wait: bool) -> None:
        """Record messages in one transaction. Raises ``RowsLocked`` if another transaction has locked a run."""
        if not pairs:
            return
        try:
            envelopes = [envelope for _, envelope in pairs]
            if self._prepare is not None:
                self._prepare(envelopes)
            committed = self._transactor.decide_patiently(
                lambda batch: self._record_ready(batch, pairs), stop, wait=wait
            )
        except RowsLocked:
            raise
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            if len(pairs) > 1:
                # Process each message alone, so that only the bad message fails.
                for pair in pairs:
                    self._process_unlocked([pair], stop, wait=wait)
                return
            self._fail(*pairs[0], error)
            return
        if committed is None:
            return
        recorded, ready, early = committed
        self._early.extend(early)
        if self._after_commit is not None:
            self._after_commit(ready, recorded)
        for delivery, _ in ready:
            delivery.ack()

    def _fail(self, delivery: Delivery, envelope: Envelope, error: Exception) -> None:
        """Return a message that failed alone, or make it a dead letter: no sender waits for the delivery limit."""
        if isinstance(error, DecodeFailed):
            self._unreadable(delivery, error)
            return
        _log.exception("delivery.failed", extra={"broker_queue": delivery.queue.name, "type": envelope.type})
        # An error of Dagway's own, such as a run that others keep changing, may not come again.
        if self._refuse is None or not delivery.redelivered or isinstance(error, DagwayError):
            delivery.retry()
            return
        DEAD_LETTERS.labels(delivery.queue.name).inc()
        self._refuse(delivery, envelope)
        # The error's text may contain values of the request.
        delivery.dead_letter(f"failed twice: {type(error).__name__}; see delivery.failed in the log")

    def _record_ready(self, batch: Batch, pairs: Pairs) -> tuple[T, Pairs, Pairs]:
        """Record what may be recorded now; return the result, the recorded messages and the early ones."""
        too_early = self._find_early(batch, pairs)
        ready = [pair for pair in pairs if pair[1].id not in too_early]
        early = [pair for pair in pairs if pair[1].id in too_early]
        return self._record(batch, [envelope for _, envelope in ready]), ready, early


def _by_run(pairs: Pairs) -> list[list[tuple[Delivery, Envelope]]]:
    """Return the messages grouped by the run that they are about, each group in order.

    Commands about no run are one group: a later one may be about the same DAG or worker as one that is locked.
    """
    groups: dict[str, list[tuple[Delivery, Envelope]]] = {}
    for pair in pairs:
        body = pair[1].body
        # A start knows its DAG by the name of the file, and a stop by the name of the DAG; the run's id is the same.
        run = getattr(body, "run_key", "") or getattr(body, "dag_run_id", "")
        groups.setdefault(run, []).append(pair)
    return list(groups.values())
