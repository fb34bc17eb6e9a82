"""Carries out commands: each exactly once, and records one outcome for each."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from services.scheduler.commands import (
    accounts,
    approvals,
    dags,
    dead_letters,
    pauses,
    pools,
    queues,
    runs,
    secrets,
    webhooks,
    worker_pools,
    workers,
    workspaces,
)
from services.scheduler.commands.actors import ActorForbidden, ActorGone, Actors, check_allowed, sender, sent_by
from services.scheduler.commands.audited import UNAUDITED, CommandEntry, entry_of_reused_key
from services.scheduler.commands.checks import RefusedByCore
from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.traces import command_context
from shared.contracts import commands as c
from shared.contracts.actors import Actor
from shared.contracts.codec import Envelope
from shared.errors import Conflict, InvalidInput, NotFound
from shared.language.snapshot import make_snapshot
from shared.tracing import within
from shared.workspaces import plain_name

__all__ = ["HANDLERS", "carry_out", "handle", "parse_specs"]

HANDLERS: Handlers = {
    **accounts.HANDLERS,
    **approvals.HANDLERS,
    **dags.HANDLERS,
    **dead_letters.HANDLERS,
    **pauses.HANDLERS,
    **pools.HANDLERS,
    **queues.HANDLERS,
    **runs.HANDLERS,
    **secrets.HANDLERS,
    **webhooks.HANDLERS,
    **worker_pools.HANDLERS,
    **workers.HANDLERS,
    **workspaces.HANDLERS,
}
"""The handler of each type of command."""


def handle(batch: Batch, command: Any) -> dict[str, Any]:
    """Carry out one command in the transaction of ``batch`` and return the ``result`` of its reply.

    Raises:
        InvalidInput, NotFound, Conflict, RefusedByCore: the command is refused and has changed nothing.
    """
    return HANDLERS[type(command)](batch, command)


def parse_specs(plans: Plans, envelopes: Sequence[Envelope]) -> None:
    """Parse the specs that commands bring, before the transaction that carries them out and holds locks meanwhile."""
    for body in (envelope.body for envelope in envelopes):
        match body:
            case c.CreateDag() | c.PutSpec() | c.ReplaceSpec():
                plans.load(body.spec, file_name=body.file_name)
            case c.StartInline():
                text = make_snapshot(body.spec, plans.base)
                plans.load(text, dag_name=plain_name(body.dag_name) if body.dag_name else None)
                # As later loads of the run ask for it.
                plans.load(text)


def carry_out(batch: Batch, envelopes: Sequence[Envelope]) -> list[c.CommandReply]:
    """Carry out commands in the transaction of ``batch`` and return their replies; the caller flushes and commits.

    If the outcome of a command is recorded already, the recorded reply is returned. A refusal is recorded too.
    """
    recorded = _prefetch(batch, envelopes)
    actors = Actors(batch.tx.accounts, batch.tx.workspaces, batch.now)
    actors.read(sender(envelope.body) for envelope in envelopes if isinstance(envelope.body, c.Command))
    known = {key: (body_hash, c.CommandReply.model_validate(reply)) for key, (body_hash, reply) in recorded.items()}
    replies, new = [], []
    for envelope in envelopes:
        body_hash = _hash(envelope)
        if envelope.id in known:
            replies.append(_repeated(batch, envelope, body_hash, *known[envelope.id]))
            continue
        reply = _carry_out_one(batch, envelope, actors)
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
    changes = [envelope.body for envelope in envelopes if isinstance(envelope.body, c.DagChange)]
    batch.after.dags.update(change.file_name for change in changes)
    batch.after.dags.update(change.new_file_name for change in changes if isinstance(change, c.RenameDag))
    return replies


def _prefetch(batch: Batch, envelopes: Sequence[Envelope]) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Read the rows that the handlers need, in a few statements; return the recorded outcomes by command id.

    If all commands start runs, the first try reads no outcomes and no run names, because command ids and run ids are
    nearly always new. If an id is not new, a unique key fails the transaction, and the next try (``batch.again``)
    reads them.
    """
    bodies = [envelope.body for envelope in envelopes]
    names, files = [], []
    for body in bodies:
        match body:
            case c.StartRun():
                names.append((body.dag_name or body.file_name, body.dag_run_id))
                files.append(body.file_name)
            case c.RunChange():
                names.append((body.dag_name, body.dag_run_id))
    if not batch.again and all(isinstance(body, c.StartRun) for body in bodies):
        batch.runs.assume_new(names, files)
        return {}
    if any(isinstance(body, c.DagChange) for body in bodies):
        # A command of this batch may change a DAG before a later command reads it, so DAGs are not read in advance.
        files = []
    recorded = batch.runs.prefetch([envelope.id for envelope in envelopes], names, files)
    batch.runs.load(key for name in names if (key := batch.runs.key_of(*name)) is not None)
    return recorded


def _hash(envelope: Envelope) -> str:
    # A repeated request has the same body, but another request id, and perhaps another address.
    # The id of a command in a workspace contains the workspace.
    text = envelope.body.model_dump_json(exclude={"actor", "workspace"})
    return hashlib.sha256(f"{envelope.type} {text}".encode()).hexdigest()


def _repeated(
    batch: Batch, envelope: Envelope, body_hash: str, first_hash: str, first: c.CommandReply
) -> c.CommandReply:
    if body_hash == first_hash:
        return first
    if type(envelope.body) not in UNAUDITED:
        batch.add_audit([entry_of_reused_key(batch, envelope, body_hash)])
    error = c.RefusedError(
        code="already_exists", message="this Idempotency-Key was used for another request: send a new key"
    )
    return c.CommandReply(command_id=envelope.id, outcome="refused", error=error)


def _carry_out_one(batch: Batch, envelope: Envelope, actors: Actors) -> c.CommandReply:
    """Carry out a command that has no outcome yet, add its entry to the audit log, and return its reply."""
    command: Any = envelope.body
    actors.lock_administrators_for(command)  # first of all: the facts of the entry lock a user too
    audited = None if type(command) in UNAUDITED else CommandEntry(batch, envelope)
    actor, reply = _decide(batch, envelope, actors)
    if reply.outcome == "recorded" and isinstance(command, c.StartRun | c.StartInline):
        batch.after.accepted.append((batch.now - envelope.at).total_seconds())
    if audited is not None:
        batch.add_audit([audited.entry(actor, reply)])
    return reply


def _decide(batch: Batch, envelope: Envelope, actors: Actors) -> tuple[Actor, c.CommandReply]:
    command: Any = envelope.body
    actor = sender(command)
    try:
        actor = actors.present(actor, command.workspace)
        check_allowed(actor, command)
        actors.check_workspace(command)
        actors.check_scope(actor, command)
        with within(command_context(envelope)):
            result = handle(batch, sent_by(command, actor))
    except RefusedByCore as error:
        problem = c.RefusedError(code=error.refused.code, message=error.refused.message)
    except (InvalidInput, NotFound, Conflict, ActorGone, ActorForbidden) as error:
        if error.retryable:
            raise
        problem = c.RefusedError(code=error.code, message=str(error))
    else:
        actors.follow(command)
        return actor, c.CommandReply(command_id=envelope.id, outcome="recorded", result=result)
    return actor, c.CommandReply(command_id=envelope.id, outcome="refused", error=problem)
