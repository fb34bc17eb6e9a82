"""What the audit log says about a command: its target, and small facts before and after.

Specs and params are never stored, and no facts are taken from secrets: for a spec its hash.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from services.scheduler.commands.actors import sender
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.contracts.actors import SYSTEM, Actor
from shared.contracts.audit import AuditTarget
from shared.contracts.codec import Envelope
from shared.ids import new_run_id
from shared.store import tables as t
from shared.workspaces import QUOTAS

__all__ = [
    "UNAUDITED",
    "CommandEntry",
    "entry_of_gateway",
    "entry_of_reused_key",
    "entry_of_system",
    "facts",
    "fit_text",
    "subject",
]

UNAUDITED = frozenset({c.CountFailures, c.TouchCredential})
"""Bookkeeping: the requests that cause these commands have entries of their own."""

Facts = dict[str, Any]
_REUSED = UUID("0f6b6d3e-6f5d-5d0b-8e0f-7a2d4c9b1a55")
"""Namespace of the ids of entries about an Idempotency-Key that was used twice."""
_LENGTHS = {name: getattr(column.type, "length", None) for name, column in t.audit.c.items()}


def subject(batch: Batch, command: c.Command) -> AuditTarget:
    """Return the target of a command that is not carried out yet. Names are looked up where the command has an id."""
    match command:
        case c.StartRun():
            return AuditTarget(kind="run", name=command.dag_name or command.file_name, id=command.dag_run_id)
        case c.StartInline():
            return AuditTarget(kind="run", name=command.dag_name or "", id=command.dag_run_id)
        case c.RunChange():
            return AuditTarget(kind="run", name=command.dag_name, id=_run_id(batch, command))
        case c.DagChange():
            return AuditTarget(kind="dag", name=command.file_name)
        case c.WebhookCommand():
            return AuditTarget(kind="webhook", name=command.file_name)
        case c.CreateUser():
            return AuditTarget(kind="user", name=command.username, id=command.user_id)
        case c.UpdateUser() | c.SetPassword() | c.DeleteUser():
            return AuditTarget(kind="user", name=facts(batch, command).get("username", ""), id=command.user_id)
        case c.EndLogin():
            return AuditTarget(kind="user", name=command.by)
        case c.CreateApiKey():
            return AuditTarget(kind="api_key", name=command.name, id=command.key_id)
        case c.UpdateApiKey() | c.DeleteApiKey():
            return AuditTarget(kind="api_key", name=facts(batch, command).get("name", ""), id=command.key_id)
        case c.SetPause() | c.EndPause():
            return AuditTarget(kind="all" if command.scope == "global" else command.scope, name=command.name)
        case c.SetQueue() | c.RemoveQueue():
            return AuditTarget(kind="queue", name=command.name)
        case c.SetPool() | c.RemovePool():
            return AuditTarget(kind="pool", name=command.name)
        case c.SetSecret() | c.DeleteSecret():
            return AuditTarget(kind="secret", name=command.name)
        case c.ResealSecrets():
            return AuditTarget(kind="secret")
        case c.ReserveWorkerPool() | c.ReleaseWorkerPool():
            return AuditTarget(kind="worker_pool", name=command.name)
        case c.ReturnDeadLetter() | c.DiscardDeadLetter():
            return AuditTarget(kind="dead_letter", id=command.letter_id)
        case c.DrainWorker() | c.ResumeWorker():
            return AuditTarget(kind="worker", name=command.worker_id)
        case c.CreateWorkspace() | c.UpdateWorkspace() | c.DeleteWorkspace() | c.SetMember() | c.RemoveMember():
            return AuditTarget(kind="workspace", name=command.name)
    raise TypeError(f"no target is known for commands of type {command.type}")


def _run_id(batch: Batch, command: c.RunChange) -> str:
    if command.dag_run_id != "latest":
        return command.dag_run_id
    key = batch.tx.runs.newest_key(command.dag_name)
    return command.dag_run_id if key is None else batch.tx.runs.names([key])[key][1]


def facts(batch: Batch, command: c.Command) -> Facts:
    """Return small facts about what a command changes, as they are in the transaction now; empty for runs."""
    tx = batch.tx
    match command:
        case c.CreateUser() | c.UpdateUser() | c.DeleteUser() | c.SetPassword():
            return _some(tx.accounts.lock(t.users, id=command.user_id), "username", "role")
        case c.CreateApiKey() | c.UpdateApiKey() | c.DeleteApiKey():
            return _key_facts(tx.accounts.lock(t.api_keys, id=command.key_id))
        case c.WebhookCommand():
            return _some(tx.accounts.lock(t.webhooks, file_name=command.file_name), "id", "enabled")
        case c.DagChange():
            return _some(tx.dags.lock(command.file_name), "spec_hash", "version", "suspended")
        case c.SetQueue() | c.RemoveQueue():
            return _some(tx.queues.lock(command.name), "kind", "max_concurrency")
        case c.SetPool() | c.RemovePool():
            return _some(tx.pools.known().get(command.name), "capacity")
        case c.SetSecret() | c.DeleteSecret():
            return _some(tx.secrets.lock(command.name), "version", "dags")
        case c.SetMember() | c.RemoveMember():
            role = tx.workspaces.roles([command.user_id]).get((command.name, command.user_id))
            return {"user_id": command.user_id, "role": role}
        case c.CreateWorkspace() | c.UpdateWorkspace() | c.DeleteWorkspace():
            return _some(tx.workspaces.lock(command.name), "description", *QUOTAS)
        case c.SetPause() | c.EndPause():
            return {"paused": any(_paused(command, row) for row in tx.pauses.open())}
        case c.ReserveWorkerPool() | c.ReleaseWorkerPool():
            return {"workspaces": sorted(tx.workspaces.reserved_pools().get(command.name, ()))}
        case c.ReturnDeadLetter() | c.DiscardDeadLetter():
            return _some(tx.dead_letters.lock(command.letter_id), "message_id", "message_type", "decision")
        case c.DrainWorker() | c.ResumeWorker():
            return {"drained": bool(tx.leases.drained_workers([command.worker_id]))}
    return {}


def _paused(command: c.SetPause | c.EndPause, row: Mapping[str, Any]) -> bool:
    return bool(row["scope"] == command.scope and (command.scope == "global" or row["name"] == command.name))


def _some(row: Mapping[str, Any] | None, *names: str) -> Facts:
    return {} if row is None else {name: row[name] for name in names}


def _key_facts(row: Mapping[str, Any] | None) -> Facts:
    expires_at = None if row is None else row["expires_at"]
    expiry = {} if expires_at is None else {"expires_at": expires_at.isoformat()}
    return _some(row, "name", "role", "dags") | expiry


def _asked(command: c.Command) -> Facts:
    """Return what a command asks for, where ``facts`` cannot show it."""
    match command:
        case c.RenameDag():
            return {"file_name": command.new_file_name}
        case c.StartInline():
            return {"spec_hash": hashlib.sha256(command.spec.encode("utf-8", "surrogatepass")).hexdigest()}
        case c.RetryRun():
            return {"run_id": command.new_run_id, "step": command.step_name or ""}
        case c.RescheduleRun():
            return {"run_id": command.new_run_id}
        case c.PatchSubStep():
            return {"sub_run_id": command.sub_run_id, "step": command.step_name, "status": command.status}
        case c.PatchStep():
            return {"step": command.step_name, "status": command.status}
        case c.ResealSecrets():
            return {"secrets": len(command.secrets)}
        case c.ApprovalCommand():
            return {"sub_run_id": command.sub_run_id, "step": command.step_name}
    return {}


class CommandEntry:
    """The audit entry of one command in the making: created before the command is carried out, made after it."""

    def __init__(self, batch: Batch, envelope: Envelope) -> None:
        self._batch = batch
        self._envelope = envelope
        command: Any = envelope.body
        self._command: c.Command = command
        self._target = subject(batch, command)
        self._before = facts(batch, command)

    def entry(self, actor: Actor, reply: c.CommandReply) -> Facts:
        """Return the row of the audit log. ``actor``: as checked, or as sent if it was refused."""
        done = reply.outcome == "recorded"
        target = self._target
        after: Facts = {}
        if done:
            after = facts(self._batch, self._command) | _asked(self._command)
            if not target.name and "name" in reply.result:
                target = target.model_copy(update={"name": reply.result["name"]})
        return _row(
            new_run_id(),
            actor,
            operation=self._envelope.type,
            command_id=self._envelope.id,
            target=target,
            outcome="done" if done else "refused",
            code="" if reply.error is None else reply.error.code,
            before=self._before,
            after=after,
        )


def entry_of_reused_key(batch: Batch, envelope: Envelope, body_hash: str) -> Facts:
    """Return the row for a command that is refused because another one had its id.

    If the command is delivered again, its row has the same id and is left out.
    """
    command: Any = envelope.body
    return _row(
        str(uuid5(_REUSED, f"{envelope.id} {body_hash}")),
        sender(command),
        operation=envelope.type,
        command_id=envelope.id,
        target=subject(batch, command),
        outcome="refused",
        code="already_exists",
    )


def entry_of_gateway(envelope: Envelope) -> Facts:
    """Return the row for an ``AuditEntry`` that a gateway sent."""
    entry: Any = envelope.body
    return _row(
        envelope.id[:36],
        entry.actor,
        operation=entry.operation,
        target=entry.target,
        outcome=entry.outcome,
        code=entry.code,
        occurrences=entry.count,
        after=entry.facts,
    )


def entry_of_system(operation: str, target: AuditTarget, after: Facts) -> Facts:
    """Return the row for what a scheduler did by itself."""
    return _row(new_run_id(), SYSTEM, operation=operation, target=target, outcome="done", code="", after=after)


def _row(
    entry_id: str,
    actor: Actor,
    *,
    operation: str,
    target: AuditTarget,
    outcome: str,
    code: str,
    command_id: str = "",
    occurrences: int = 1,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> Facts:
    texts = {
        "id": entry_id,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "actor_role": actor.role,
        "address": actor.address,
        "request_id": actor.request_id,
        "command_id": command_id,
        "operation": operation,
        "target_kind": target.kind,
        "target_name": target.name,
        "target_id": target.id,
        "outcome": outcome,
        "code": code,
    }
    row: Facts = {name: fit_text(text, _LENGTHS[name]) for name, text in texts.items()}
    return row | {"occurrences": occurrences, "before": dict(before or {}), "after": dict(after or {})}


def fit_text(text: str, length: int | None) -> str:
    """Return ``text`` so that a column takes it: some of it comes from requests or messages that were refused."""
    clean = text[:length].replace("\0", "\ufffd")
    return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()
