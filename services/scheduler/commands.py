"""Carry out commands: each exactly once, each with one recorded outcome."""

import hashlib
from collections.abc import Sequence
from typing import Any

from services.scheduler.accounts import carry_out_account
from services.scheduler.approvals import carry_out_approval
from services.scheduler.batch import Batch
from services.scheduler.checks import NotRunning, RefusedByCore, check_free, check_singleton, find, tell, tell_key
from services.scheduler.core.admit import HIGH, LOW
from services.scheduler.core.messages import Begin, Dequeue, PatchNode, Retry, Stop
from services.scheduler.core.plan import Plan
from services.scheduler.creation import again, new_run
from services.scheduler.definitions import AlreadyRunning, Definitions
from services.scheduler.inline import carry_out_inline
from services.scheduler.pause import carry_out_queue
from services.scheduler.plans import Plans
from services.scheduler.traces import command_context
from services.scheduler.versions import carry_out_version
from services.scheduler.webhooks import carry_out_webhook, forget_webhook, move_webhook
from shared.contracts import commands as c
from shared.contracts.codec import Envelope
from shared.contracts.commands_accounts import AccountCommand
from shared.contracts.commands_approval import ApprovalCommand
from shared.contracts.commands_dags import DagCommand
from shared.contracts.commands_queues import QueueCommand
from shared.contracts.commands_runs import RunCommand
from shared.contracts.commands_webhooks import WebhookCommand
from shared.errors import Conflict, InvalidInput, NotFound
from shared.ids import valid_dag_name, valid_run_id
from shared.status import NodeStatus, RunStatus
from shared.store import tables as t
from shared.tracing import within

__all__ = ["carry_out"]


def carry_out(batch: Batch, plans: Plans, envelopes: Sequence[Envelope]) -> list[c.CommandReply]:
    """Carry out a batch of commands within ``batch``'s transaction; the caller flushes and commits.

    A command seen before gets the reply it got then. Refusals change nothing and are outcomes too.
    """
    seen = batch.tx.replies([envelope.id for envelope in envelopes])
    known: dict[str, tuple[str, c.CommandReply]] = {
        key: (row["body_hash"], c.CommandReply.model_validate(row["reply"])) for key, row in seen.items()
    }
    _look_ahead(batch, envelopes)
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
    batch.tx.insert(t.inbox, new)
    if any(isinstance(envelope.body, _DEFINING) for envelope in envelopes):
        batch.after.schedules = True
    return replies


_DEFINING = (c.CreateDag, c.PutSpec, c.RenameDag, c.SuspendDag, DagCommand, QueueCommand)
"""Commands after which another slot may be due next."""


def _hash(envelope: Envelope) -> str:
    return hashlib.sha256(f"{envelope.type} {envelope.body.model_dump_json()}".encode()).hexdigest()


def _repeated(envelope: Envelope, body_hash: str, first_hash: str, first: c.CommandReply) -> c.CommandReply:
    if body_hash == first_hash:
        return first
    error = c.RefusedError(code="already_exists", message="this Idempotency-Key was used for another request")
    return c.CommandReply(command_id=envelope.id, outcome="refused", error=error)


def _look_ahead(batch: Batch, envelopes: Sequence[Envelope]) -> None:
    """Fetch in a few queries what the commands will ask for one by one."""
    names = []
    for envelope in envelopes:
        body = envelope.body
        match body:
            case c.StartRun():
                names.append((body.dag_name or body.file_name, body.dag_run_id))
            case c.StopRun() | c.DequeueRun() | c.RetryRun() | c.PatchStep() | ApprovalCommand():
                names.append((body.dag_name, body.dag_run_id))
    batch.look_up(names)
    batch.load(key for name in names if (key := batch.key_of(*name)) is not None)


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
            return _start(batch, plans, body)
        case c.StopRun():
            return _stop(batch, body)
        case c.DequeueRun():
            return tell(batch, body.dag_name, body.dag_run_id, Dequeue(body.by))
        case c.PatchStep():
            return _patch(batch, body)
        case c.RetryRun():
            return _retry(batch, body)
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


def _start(batch: Batch, plans: Plans, command: c.StartRun) -> dict[str, Any]:
    rows = batch.tx.dags([command.file_name])
    if not rows:
        raise NotFound(f"DAG {command.file_name} not found")
    row = rows[0]
    if row["errors"]:
        raise InvalidInput("; ".join(row["errors"]))
    text_hash = plans.freeze(batch.tx, row["spec_hash"], batch.now)
    plan: Plan = plans.get_many(batch.tx, [(text_hash, command.file_name)])[text_hash, command.file_name]
    name = command.dag_name or plan.dag.name
    if not valid_dag_name(name):
        raise InvalidInput(f"dagName: {name!r} must be 1 to 40 letters, digits, dashes, dots or underscores")
    queued = isinstance(command, c.EnqueueRun)
    if command.singleton:
        check_singleton(batch, name, queued=queued)
    check_free(batch, name, command.dag_run_id)
    run = new_run(
        plan,
        dag_name=name,
        dag_run_id=command.dag_run_id,
        given=command.params,
        queue=command.queue if isinstance(command, c.EnqueueRun) else None,
        queued=queued,
        now=batch.now,
    )
    urgent = isinstance(command, c.EnqueueRun) and command.priority == "high"
    batch.add(run, spec_hash=text_hash, file_name=command.file_name, priority=HIGH if urgent else LOW)
    if not queued:
        batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.dag_run_id}


def _stop(batch: Batch, command: c.StopRun) -> dict[str, Any]:
    key = find(batch, command.dag_name, command.dag_run_id)
    run = batch.run(key)
    if run is not None and run.status is RunStatus.WAITING:
        # It could be, and is where its parent is stopped: the API says that it waits for a word, not for a signal.
        raise NotRunning(f"DAG-run {run.dag_run_id} waits for approval, it is not running: approve or reject it")
    return tell_key(batch, key, Stop(command.by))


def _patch(batch: Batch, command: c.PatchStep) -> dict[str, Any]:
    try:
        status = NodeStatus(command.status)
    except ValueError as error:
        raise InvalidInput(f"status: {command.status!r} is not a step status") from error
    return tell(batch, command.dag_name, command.dag_run_id, PatchNode(command.step_name, status, command.by))


def _retry(batch: Batch, command: c.RetryRun) -> dict[str, Any]:
    """Retry in place, or retry the run named in the body, or start a new one from this one's results."""
    key = find(batch, command.dag_name, command.dag_run_id)
    source = batch.run(key)
    assert source is not None  # noqa: S101 - _find raises otherwise
    target = command.new_run_id or source.dag_run_id
    if batch.key_of(command.dag_name, target) is not None:
        tell(batch, command.dag_name, target, Retry(command.by, command.step_name or ""))
        return {"dagRunId": target}
    if not valid_run_id(target):
        raise InvalidInput(f"dagRunId: {target!r} must be 1 to 64 letters, digits, dashes, dots or underscores")
    if source.status.active:
        raise AlreadyRunning(f"DAG-run {source.dag_run_id} is {source.status}: retry it when it has ended")
    run = again(source, target, batch.now)
    spec_hash, file_name = batch.origin(key)
    batch.add(run, spec_hash=spec_hash, file_name=file_name)
    batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": target}
