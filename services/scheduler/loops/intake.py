"""Takes commands, events and log chunks from the broker and records them, one transaction for each batch.

Deliveries are acked only after the commit. While the database is away, the process keeps its deliveries instead of
returning them, because each return counts against the broker's delivery limit. A message that cannot be decoded is
dead-lettered immediately. A message that causes an unexpected error is returned alone, until the broker dead-letters
it at the delivery limit.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.deciding.rows import chunk_row
from services.scheduler.deciding.traces import trace_commands, trace_reports
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.metrics import COMMAND_RECORD, COMMAND_WAIT, COMMANDS_RECORDED, DEAD_LETTERS
from shared.contracts.codec import Envelope, decode, encode
from shared.contracts.commands import Command, CommandReply
from shared.contracts.events import Event, LogChunk
from shared.errors import DecodeFailed
from shared.ids import new_run_id
from shared.transport.base import Consumer, Delivery

__all__ = ["Intake", "commands_intake", "events_intake", "logs_intake"]

_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Delivery, Envelope]]
T = TypeVar("T")
_TAKE_TIMEOUT_S = 0.5
_COMMANDS_AT_ONCE = 50


class Intake(Generic[T]):
    """One consumer and one thread, with one transaction for each batch of deliveries.

    ``record`` writes the messages of a batch in its transaction. After the commit, ``after_commit`` is called with the
    deliveries and the result of ``record``; then the deliveries are acked.
    """

    def __init__(
        self,
        transactor: Transactor,
        consumer: Consumer,
        *,
        expects: type,
        record: Callable[[Batch, Sequence[Envelope]], T],
        after_commit: Callable[[Pairs, T], None] | None = None,
        at_once: int,
    ) -> None:
        self._transactor = transactor
        self._consumer = consumer
        self._expects = expects
        self._record = record
        self._after_commit = after_commit
        self._at_once = at_once
        self.drained_at = NEVER
        """The time when the broker queue was last empty: all messages sent before that time are recorded."""

    @property
    def connected_for_s(self) -> float:
        return self._consumer.connected_for_s

    def run(self, stop: threading.Event) -> None:
        """Take and record deliveries until ``stop``. Runs in a background thread."""
        while not stop.is_set():
            before = self._transactor.clock()
            deliveries = self._consumer.take(self._at_once, _TAKE_TIMEOUT_S)
            self._process(self._read(deliveries), stop)
            if len(deliveries) < self._at_once and self._consumer.connected_for_s > 0:
                self.drained_at = before
        self._consumer.close()

    def _read(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Envelope]]:
        pairs = []
        for delivery in deliveries:
            try:
                envelope = decode(delivery.body)
                if not isinstance(envelope.body, self._expects):
                    raise DecodeFailed(f"a message of type {envelope.type} must not be on {delivery.queue.name}")
            except DecodeFailed as error:
                _log.error("delivery.unreadable", extra={"route": delivery.queue.name, "why": str(error)})
                DEAD_LETTERS.labels(delivery.queue.name).inc()
                delivery.dead_letter(str(error))
            else:
                pairs.append((delivery, envelope))
        return pairs

    def _process(self, pairs: Pairs, stop: threading.Event) -> None:
        if not pairs:
            return
        try:
            envelopes = [envelope for _, envelope in pairs]
            # The result is in a tuple, because ``decide_patiently`` returns ``None`` if it was stopped.
            committed = self._transactor.decide_patiently(lambda batch: (self._record(batch, envelopes),), stop)
        except Exception:  # noqa: BLE001 - one bad message must not stop the others
            if len(pairs) > 1:
                # Process each message alone, so that only the bad message fails.
                for pair in pairs:
                    self._process([pair], stop)
                return
            delivery, envelope = pairs[0]
            _log.exception("delivery.failed", extra={"route": delivery.queue.name, "type": envelope.type})
            delivery.retry()
            return
        if committed is None:
            return
        (recorded,) = committed
        if self._after_commit is not None:
            self._after_commit(pairs, recorded)
        for delivery, _ in pairs:
            delivery.ack()


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
        record=_carry_out_commands,
        after_commit=_reply_to_commands,
        at_once=_COMMANDS_AT_ONCE,
    )


def _carry_out_commands(batch: Batch, envelopes: Sequence[Envelope]) -> _CarriedOut:
    began_s = time.monotonic()
    return _CarriedOut(carry_out(batch, envelopes), batch.now, began_s)


def _reply_to_commands(pairs: Pairs, done: _CarriedOut) -> None:
    COMMAND_RECORD.observe(time.monotonic() - done.began_s)
    for (_, envelope), reply in zip(pairs, done.replies, strict=True):
        # The clocks of gateway and scheduler may differ, but a wait must not be negative.
        COMMAND_WAIT.observe(max(0.0, (done.at - envelope.at).total_seconds()))
        COMMANDS_RECORDED.labels(reply.outcome).inc()
    trace_commands(zip((envelope for _, envelope in pairs), done.replies, strict=True), done.at)
    for (delivery, _), reply in zip(pairs, done.replies, strict=True):
        delivery.reply(encode(reply, id=new_run_id(), at=done.at))


def events_intake(
    transactor: Transactor, consumer: Consumer, recorded_until: Callable[[Batch, datetime], datetime]
) -> Intake[datetime]:
    """Return the intake that records the reports of workers; for ``recorded_until`` see ``record_events``."""

    def record(batch: Batch, envelopes: Sequence[Envelope]) -> datetime:
        events = [envelope.body for envelope in envelopes if isinstance(envelope.body, Event)]
        record_events(batch, events, recorded_until)
        return batch.now

    def trace(pairs: Pairs, at: datetime) -> None:
        trace_reports((envelope for _, envelope in pairs), at)

    return Intake(transactor, consumer, expects=Event, record=record, after_commit=trace, at_once=100)


def logs_intake(transactor: Transactor, consumer: Consumer) -> Intake[None]:
    """Return the intake that stores log chunks that workers send while an attempt runs.

    It never waits for the lock of a run.
    """

    def record(batch: Batch, envelopes: Sequence[Envelope]) -> None:
        chunks = [envelope.body for envelope in envelopes if isinstance(envelope.body, LogChunk)]
        batch.tx.runs.add_log_chunks([chunk_row(chunk) for chunk in chunks])

    return Intake(transactor, consumer, expects=LogChunk, record=record, at_once=64)
