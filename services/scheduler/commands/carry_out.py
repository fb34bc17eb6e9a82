"""Carry out commands: each exactly once, each with one recorded outcome."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from services.scheduler.commands.accounts import carry_out_account
from services.scheduler.commands.approvals import carry_out_approval
from services.scheduler.commands.checks import RefusedByCore, tell
from services.scheduler.commands.dags import Definitions
from services.scheduler.commands.inline import carry_out_inline
from services.scheduler.commands.queues import carry_out_queue
from services.scheduler.commands.runs import patch_step, retry_run, start_run, stop_run
from services.scheduler.commands.versions import carry_out_version
from services.scheduler.commands.webhooks import carry_out_webhook, forget_webhook, move_webhook
from services.scheduler.core.messages import Dequeue
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.traces import command_context
from shared.contracts import commands as c
from shared.contracts.codec import Envelope
from shared.contracts.commands.accounts import AccountCommand
from shared.contracts.commands.approvals import ApprovalCommand
from shared.contracts.commands.dags import DagCommand
from shared.contracts.commands.queues import QueueCommand
from shared.contracts.commands.runs import RunCommand
from shared.contracts.commands.webhooks import WebhookCommand
from shared.errors import Conflict, InvalidInput, NotFound
from shared.tracing import within

__all__ = ["carry_out"]


def carry_out(batch: Batch, plans: Plans, envelopes: Sequence[Envelope]) -> list[c.CommandReply]:
    """Carry out a batch of commands within ``batch``'s transaction; the caller flushes and commits.

    A command seen before gets the reply it got then. Refusals change nothing and are outcomes too.
    """
    seen = _look_ahead(batch, envelopes)
    known = {key: (body_hash, c.CommandReply.model_validate(reply)) for key, (body_hash, reply) in seen.items()}
    replies, new = [], []
    for envelope in envelopes:
        body_hash = _hash(envelope)
        if envelope.id in known:
            replies.append(_repeated(envelope, body_hash, *known[envelope.id]))
            continue
        reply = _one(batch, plans, envelope)
        known[envelope.id] = (body_hash, reply)
        replies.append(reply)
        new.append(
            {
                "command_id": envelope.id,
                "type": envelope.type,
                "body_hash": body_hash,
                "outcome": reply.outcome,
                "reply": reply.model_dump(mode="json"),
                "at": batch.now,
            }
        )
    batch.add_outcomes(new)
    if any(isinstance(envelope.body, _DEFINING) for envelope in envelopes):
        batch.after.schedules = True
    return replies


_DEFINING = c.CreateDag | c.PutSpec | c.RenameDag | c.SuspendDag | DagCommand | QueueCommand
"""Commands after which another slot may be due next."""


def _hash(envelope: Envelope) -> str:
    return hashlib.sha256(f"{envelope.type} {envelope.body.model_dump_json()}".encode()).hexdigest()


def _repeated(envelope: Envelope, body_hash: str, first_hash: str, first: c.CommandReply) -> c.CommandReply:
    if body_hash == first_hash:
        return first
    error = c.RefusedError(code="already_exists", message="this Idempotency-Key was used for another request")
    return c.CommandReply(command_id=envelope.id, outcome="refused", error=error)


def _look_ahead(batch: Batch, envelopes: Sequence[Envelope]) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Fetch at once what the commands will ask for one by one; return the replies of those known to be seen before."""
    names, files = [], []
    bodies = [envelope.body for envelope in envelopes]
    for body in bodies:
        match body:
            case c.StartRun():
                names.append((body.dag_name or body.file_name, body.dag_run_id))
                files.append(body.file_name)
            case c.StopRun() | c.DequeueRun() | c.RetryRun() | c.PatchStep() | ApprovalCommand():
                names.append((body.dag_name, body.dag_run_id))
    if not batch.again and all(isinstance(body, c.StartRun) for body in bodies):
        # New names under new ids, nearly always: where one is taken the tables' keys refuse it, and we are here again.
        batch.runs.assume_new(names, files)
        return {}
    if any(isinstance(body, _DEFINING | c.DeleteDag) for body in bodies):
        files = []  # They may be other ones by the time that one of these asks.
    seen = batch.runs.prefetch([envelope.id for envelope in envelopes], names, files)
    batch.runs.load(key for name in names if (key := batch.runs.key_of(*name)) is not None)
    return seen


def _one(batch: Batch, plans: Plans, envelope: Envelope) -> c.CommandReply:
    try:
        with within(command_context(envelope)):
            result = _carry_out(batch, plans, envelope.body)
    except RefusedByCore as error:
        problem = c.RefusedError(code=error.refused.code, message=error.refused.message)
    except (InvalidInput, NotFound, Conflict) as error:
        if error.retryable:
            raise
        problem = c.RefusedError(code=error.code, message=str(error))
    else:
        return c.CommandReply(command_id=envelope.id, outcome="recorded", result=result)
    return c.CommandReply(command_id=envelope.id, outcome="refused", error=problem)


def _carry_out(batch: Batch, plans: Plans, body: Any) -> dict[str, Any]:
    definitions = Definitions(batch.tx, plans, batch.now)
    match body:
        case c.CreateDag():
            return definitions.create(body)
        case c.PutSpec():
            return definitions.put_spec(body)
        case c.DeleteDag():
            forget_webhook(batch.tx, body.file_name)
            return definitions.delete(body)
        case c.RenameDag():
            result = definitions.rename(body)
            move_webhook(batch.tx, body.file_name, body.new_file_name)
            return result
        case c.SuspendDag():
            return definitions.suspend(body)
        case c.StartRun():
            return start_run(batch, plans, body)
        case c.StopRun():
            return stop_run(batch, body)
        case c.DequeueRun():
            return tell(batch, body.dag_name, body.dag_run_id, Dequeue(body.by))
        case c.PatchStep():
            return patch_step(batch, body)
        case c.RetryRun():
            return retry_run(batch, body)
        case RunCommand():
            return carry_out_inline(batch, plans, body)
        case ApprovalCommand():
            return carry_out_approval(batch, body)
        case QueueCommand():
            return carry_out_queue(batch, body)
        case AccountCommand():
            return carry_out_account(batch, body)
        case WebhookCommand():
            return carry_out_webhook(batch, body)
        case DagCommand():
            return carry_out_version(batch, plans, body)
        case _:
            raise InvalidInput(f"{type(body).__name__} is not a command")
