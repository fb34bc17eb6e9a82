"""Consumes messages in batches: one transaction per batch, acknowledged only after the commit.

While the database is away deliveries are held, not returned: every return counts against the broker's
delivery limit. A message that cannot be decoded is dead-lettered at once. One that makes the program
fail is returned alone, until the limit dead-letters it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.deciding.rows import chunk_row
from services.scheduler.deciding.traces import tell_of_commands, tell_of_reports
from services.scheduler.deciding.transactor import Shell
from services.scheduler.metrics import COMMAND_RECORD, COMMAND_WAIT, COMMANDS_RECORDED, DEAD_LETTERS
from shared.contracts.codec import Envelope, decode, encode
from shared.contracts.commands import Command
from shared.contracts.events import Event, LogChunk
from shared.errors import DecodeFailed
from shared.ids import new_run_id
from shared.store import tables as t
from shared.transport.base import Consumer, Delivery

__all__ = ["Intake", "commands_intake", "events_intake", "logs_intake"]

_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Delivery, Envelope]]
_TAKE_TIMEOUT_S = 0.5
_COMMANDS_AT_ONCE = 50


class Intake:
    """One consumer, one thread, ``record(batch, pairs)`` per transaction.

    ``record`` returns what to do with the replies once committed.
    """

    def __init__(
        self,
        shell: Shell,
        consumer: Consumer,
        *,
        expects: type,
        record: Callable[[Batch, Pairs], Callable[[], None] | None],
        at_once: int,
    ) -> None:
        self._shell = shell
        self._consumer = consumer
        self._expects = expects
        self._record = record
        self._at_once = at_once
        self.drained_at = NEVER
        """When the broker queue was last seen empty: reports sent before then are recorded."""

    @property
    def connected_for_s(self) -> float:
        return self._consumer.connected_for_s

    def run(self, stop: threading.Event) -> None:
        """Take and record until ``stop``; the body of a background thread."""
        while not stop.is_set():
            before = self._shell.clock()
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
                    raise DecodeFailed(f"{envelope.type} does not belong on {delivery.route.name}")
            except DecodeFailed as error:
                _log.error("delivery.unreadable", extra={"route": delivery.route.name, "why": str(error)})
                DEAD_LETTERS.labels(delivery.route.name).inc()
                delivery.dead_letter(str(error))
            else:
                pairs.append((delivery, envelope))
        return pairs

    def _process(self, pairs: Pairs, stop: threading.Event) -> None:
        if not pairs:
            return
        try:
            done = self._shell.insist(lambda batch: (self._record(batch, pairs),), stop)
        except Exception:  # noqa: BLE001 - one bad message must not stop the others
            if len(pairs) > 1:
                # One message fails the batch: alone, the others succeed.
                for pair in pairs:
                    self._process([pair], stop)
                return
            delivery, envelope = pairs[0]
            _log.exception("delivery.failed", extra={"route": delivery.route.name, "type": envelope.type})
            delivery.retry()
            return
        if done is None:
            return
        (reply,) = done
        if reply is not None:
            reply()
        for delivery, _ in pairs:
            delivery.ack()


def commands_intake(shell: Shell, consumer: Consumer) -> Intake:
    """Carry out commands and reply to them."""

    def record(batch: Batch, pairs: Pairs) -> Callable[[], None]:
        began_s = time.monotonic()
        replies = carry_out(batch, shell.plans, [envelope for _, envelope in pairs])

        def answer() -> None:
            COMMAND_RECORD.observe(time.monotonic() - began_s)
            for (_, envelope), reply in zip(pairs, replies, strict=True):
                # The gateway's clock and ours may differ: the wait must not be negative.
                COMMAND_WAIT.observe(max(0.0, (batch.now - envelope.at).total_seconds()))
                COMMANDS_RECORDED.labels(reply.outcome).inc()
            tell_of_commands(zip((envelope for _, envelope in pairs), replies, strict=True), batch.now)
            for (delivery, _), reply in zip(pairs, replies, strict=True):
                delivery.reply(encode(reply, id=new_run_id(), at=batch.now))

        return answer

    return Intake(shell, consumer, expects=Command, record=record, at_once=_COMMANDS_AT_ONCE)


def events_intake(shell: Shell, consumer: Consumer) -> Intake:
    """Record workers' reports."""

    def record(batch: Batch, pairs: Pairs) -> Callable[[], None]:
        record_events(batch, [envelope.body for _, envelope in pairs if isinstance(envelope.body, Event)])
        return lambda: tell_of_reports((envelope for _, envelope in pairs), batch.now)

    return Intake(shell, consumer, expects=Event, record=record, at_once=100)


def logs_intake(shell: Shell, consumer: Consumer) -> Intake:
    """Store log chunks sent before the end of their step; it never waits for a run's lock."""

    def record(batch: Batch, pairs: Pairs) -> None:
        chunks = [envelope.body for _, envelope in pairs if isinstance(envelope.body, LogChunk)]
        batch.tx.insert_new(t.log_chunks, [chunk_row(chunk) for chunk in chunks])

    return Intake(shell, consumer, expects=LogChunk, record=record, at_once=64)
