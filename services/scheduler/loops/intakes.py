"""The intakes of a scheduler: commands, reports of workers, log chunks, and audit entries of gateways."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.scheduler.commands.audited import entry_of_gateway
from services.scheduler.commands.carry_out import carry_out, parse_specs
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.early_reports import ahead_of_chain, ahead_of_logs
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.limits.log_quotas import LogQuotas
from services.scheduler.deciding.rows import chunk_row
from services.scheduler.deciding.traces import trace_commands, trace_reports
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.intake import Intake, Pairs
from services.scheduler.metrics import COMMAND_RECORD, COMMAND_WAIT, COMMANDS_RECORDED, REPORTS_WITHOUT_LOG
from shared.clock import utc_now
from shared.contracts.audit import AuditEntry
from shared.contracts.codec import Envelope, encode
from shared.contracts.commands import Command, CommandReply, RefusedError
from shared.contracts.events import AttemptFinished, Event, LogChunk
from shared.ids import new_run_id
from shared.transport.base import Consumer, Delivery

__all__ = ["audit_intake", "commands_intake", "events_intake", "logs_intake"]

_log = logging.getLogger(__name__)

_LOGS_WAIT_S = 30.0
"""How long the end of an attempt waits for log chunks that were sent before it and are not stored yet."""
_CHAIN_WAIT_S = 60.0
"""How long a report about a step of a chain waits for the one before it. That one may wait for its log itself."""
_COMMANDS_AT_ONCE = 50
_FAILED = (
    "The scheduler failed with this request, which changed nothing; see its log. The request is kept as a dead letter: "
    "an administrator can return it to be tried again."
)


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
    return _CarriedOut(carry_out(batch, envelopes), batch.began_at, began_s)


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
        return batch.began_at

    def trace(pairs: Pairs, at: datetime) -> None:
        trace_reports((envelope for _, envelope in pairs), at, transactor.clock())

    return Intake(
        transactor,
        consumer,
        expects=Event,
        find_early=_ahead_of_others,
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
