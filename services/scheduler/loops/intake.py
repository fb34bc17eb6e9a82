"""Takes commands, events and log chunks from the broker and records them, one transaction for each batch.

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
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from services.scheduler.commands.audited import entry_of_gateway
from services.scheduler.commands.carry_out import carry_out, parse_specs
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.early_reports import ahead_of_chain, ahead_of_logs
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.held_reports import HELD_S, HeldReports
from services.scheduler.deciding.limits.log_quotas import LogQuotas
from services.scheduler.deciding.rows import chunk_row
from services.scheduler.deciding.traces import trace_commands, trace_reports
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.metrics import (
    COMMAND_RECORD,
    COMMAND_WAIT,
    COMMANDS_RECORDED,
    DEAD_LETTERS,
    REPORTS_WITHOUT_LOG,
)
from shared.clock import utc_now
from shared.contracts.audit import AuditEntry
from shared.contracts.codec import Envelope, decode, encode
from shared.contracts.commands import Command, CommandReply, RefusedError
from shared.contracts.events import AttemptFinished, Event, LogChunk
from shared.contracts.markers import Marker
from shared.errors import DagwayError, DecodeFailed, RowsLocked, SignatureRefused
from shared.ids import new_run_id
from shared.transport.base import Consumer, Delivery
from shared.transport.signed import check_reporter

__all__ = ["Intake", "audit_intake", "commands_intake", "events_intake", "logs_intake"]

_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Delivery, Envelope]]
T = TypeVar("T")
_TAKE_TIMEOUT_S = 30.0
"""Nothing depends on it: what an idle intake has to notice ends its wait."""
_DEFERRED_S = 0.05
"""How soon messages about locked runs are tried again."""
_LOGS_WAIT_S = 30.0
"""How long the end of an attempt waits for log chunks that were sent before it and are not stored yet."""
_CHAIN_WAIT_S = 60.0
"""How long a report about a step of a chain waits for the one before it. That one may wait for its log itself."""
_COMMANDS_AT_ONCE = 50
_FAILED = (
    "The scheduler failed with this request, which changed nothing; see its log. The request is kept as a dead letter: "
    "an administrator can have it tried again."
)


class Intake(Generic[T]):
    """One consumer and one thread, with one transaction for each batch of deliveries.

    ``prepare`` does what needs no transaction, and then ``record`` writes the messages of a batch in its transaction.
    ``not_yet`` returns the ids of messages to keep unacknowledged and try again soon; the others do not wait for them.
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
        not_yet: Callable[[Batch, Pairs], frozenset[str]] = lambda _batch, _pairs: frozenset(),
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
        self._not_yet = not_yet
        self._record = record
        self._after_commit = after_commit
        self._refuse = refuse
        self._held = held
        self._at_once = at_once
        self._deferred: list[tuple[Delivery, Envelope]] = []
        """Messages about runs that another transaction has locked, oldest first. They stay unacknowledged."""
        self._early: list[tuple[Delivery, Envelope]] = []
        """Messages that ``not_yet`` named, oldest first. They stay unacknowledged."""
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

        The messages of one run stay in order. ``wait``: whether to wait for locks, as long as no run was locked before.
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
        not_yet = self._not_yet(batch, pairs)
        ready = [pair for pair in pairs if pair[1].id not in not_yet]
        early = [pair for pair in pairs if pair[1].id in not_yet]
        return self._record(batch, [envelope for _, envelope in ready]), ready, early


def _by_run(pairs: Pairs) -> list[list[tuple[Delivery, Envelope]]]:
    """Return the messages grouped by the run that they are about, each group in order."""
    groups: dict[object, list[tuple[Delivery, Envelope]]] = {}
    for pair in pairs:
        body = pair[1].body
        run = getattr(body, "run_key", None) or (getattr(body, "dag_name", ""), getattr(body, "dag_run_id", ""))
        groups.setdefault(pair[1].id if run == ("", "") else run, []).append(pair)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _CarriedOut:
    replies: list[CommandReply]
    at: datetime
    began_s: float


def commands_intake(transactor: Transactor, consumer: Consumer) -> Intake[_CarriedOut]:
    """Return the intake that carries out commands and sends the replies."""
    return Intake(
        transactor,
        consumer,
        expects=Command,
        prepare=lambda envelopes: parse_specs(transactor.memory.plans, envelopes),
        record=_carry_out_commands,
        after_commit=_reply_to_commands,
        refuse=_reply_to_failed,
        at_once=_COMMANDS_AT_ONCE,
    )


def _carry_out_commands(batch: Batch, envelopes: Sequence[Envelope]) -> _CarriedOut:
    began_s = time.monotonic()
    return _CarriedOut(carry_out(batch, envelopes), batch.now, began_s)


def _reply_to_commands(pairs: Pairs, done: _CarriedOut) -> None:
    lasted_s = time.monotonic() - done.began_s
    COMMAND_RECORD.observe(lasted_s)
    for (_, envelope), reply in zip(pairs, done.replies, strict=True):
        # The clocks of gateway and scheduler may differ, but a wait must not be negative.
        COMMAND_WAIT.observe(max(0.0, (done.at - envelope.at).total_seconds()))
        COMMANDS_RECORDED.labels(reply.outcome).inc()
    trace_commands(
        zip((envelope for _, envelope in pairs), done.replies, strict=True),
        done.at,
        done.at + timedelta(seconds=lasted_s),
    )
    for (delivery, _), reply in zip(pairs, done.replies, strict=True):
        delivery.reply(encode(reply, id=new_run_id(), at=done.at))


def _reply_to_failed(delivery: Delivery, envelope: Envelope) -> None:
    error = RefusedError(code="internal_error", message=_FAILED)
    reply = CommandReply(command_id=envelope.id, outcome="refused", error=error)
    delivery.reply(encode(reply, id=new_run_id(), at=utc_now()))


def events_intake(
    transactor: Transactor, consumer: Consumer, recorded_until: Callable[[Batch], datetime]
) -> Intake[datetime]:
    """Return the intake that records the reports of workers; for ``recorded_until`` see ``record_events``."""

    def record(batch: Batch, envelopes: Sequence[Envelope]) -> datetime:
        events = [envelope.body for envelope in envelopes if isinstance(envelope.body, Event)]
        record_events(batch, events, recorded_until)
        return batch.now

    def trace(pairs: Pairs, at: datetime) -> None:
        trace_reports((envelope for _, envelope in pairs), at, transactor.clock())

    return Intake(
        transactor,
        consumer,
        expects=Event,
        not_yet=_ahead_of_others,
        record=record,
        after_commit=trace,
        held=transactor.memory.held,
        at_once=100,
    )


def _ahead_of_others(batch: Batch, pairs: Pairs) -> frozenset[str]:
    """Return the ids of reports to try again soon, because something that was sent before them is not recorded yet."""
    early = _ahead_of_logs(batch, pairs)
    rest = [
        (delivery, envelope.id, envelope.body)
        for delivery, envelope in pairs
        if envelope.id not in early and isinstance(envelope.body, Event)
    ]
    tokens = ahead_of_chain(batch, [event for _, _, event in rest])
    oldest_s = time.monotonic() - _CHAIN_WAIT_S
    return early | {name for delivery, name, event in rest if event.token in tokens and delivery.arrived_s > oldest_s}


def _ahead_of_logs(batch: Batch, pairs: Pairs) -> frozenset[str]:
    """Return the ids of end reports whose log is not stored yet: who sees the end must be able to read the log.

    Reports that have waited for ``_LOGS_WAIT_S`` wait no longer: the log may have become a dead letter.
    """
    finished = {
        envelope.id: (delivery, envelope.body)
        for delivery, envelope in pairs
        if isinstance(envelope.body, AttemptFinished)
    }
    late = ahead_of_logs(batch, [event for _, event in finished.values()])
    oldest_s = time.monotonic() - _LOGS_WAIT_S
    early = set()
    for name, (delivery, event) in finished.items():
        if event.token not in late:
            continue
        if delivery.arrived_s > oldest_s:
            early.add(name)
        else:
            REPORTS_WITHOUT_LOG.inc()
            _log.error(
                "report.without_log",
                extra={"token": event.token, "run_key": event.run_key, "next": "dagway dead-letters list"},
            )
    return frozenset(early)


def logs_intake(transactor: Transactor, consumer: Consumer) -> Intake[None]:
    """Return the intake that stores log chunks that workers send while an attempt runs.

    It never waits for the lock of a run.
    """

    def record(batch: Batch, envelopes: Sequence[Envelope]) -> None:
        chunks = [envelope.body for envelope in envelopes if isinstance(envelope.body, LogChunk)]
        quotas = LogQuotas(batch.tx, batch.now, transactor.memory.rules)
        batch.tx.runs.add_log_chunks(quotas.cut([chunk_row(chunk) for chunk in chunks]))
        quotas.count()

    return Intake(transactor, consumer, expects=LogChunk, record=record, at_once=64)


def audit_intake(transactor: Transactor, consumer: Consumer) -> Intake[None]:
    """Return the intake that records what gateways report to the audit log."""

    def record(batch: Batch, envelopes: Sequence[Envelope]) -> None:
        batch.add_audit([entry_of_gateway(envelope) for envelope in envelopes])

    return Intake(transactor, consumer, expects=AuditEntry, record=record, at_once=100)
