"""Who may send which command: the one table of minimum roles. The scheduler checks it for every command.

The gateway checks the role of the operation first; ``tests/conformance/test_rest_audit.py`` compares both.
"""

from collections.abc import Mapping
from types import MappingProxyType

from shared.contracts.actors import Actor
from shared.contracts.commands import (
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
from shared.contracts.commands.base import Command
from shared.roles import Role, outranks
from shared.workspaces import NO_ROLE

__all__ = ["MINIMUM_ROLE", "SYSTEM_ONLY", "why_forbidden"]

MINIMUM_ROLE: Mapping[type[Command], Role] = MappingProxyType(
    {
        accounts.CreateUser: "admin",
        accounts.UpdateUser: "admin",
        accounts.SetPassword: "admin",
        accounts.DeleteUser: "admin",
        accounts.EndLogin: "viewer",
        dead_letters.ReturnDeadLetter: "admin",
        dead_letters.DiscardDeadLetter: "admin",
        worker_pools.ReserveWorkerPool: "admin",
        worker_pools.ReleaseWorkerPool: "admin",
        workspaces.CreateWorkspace: "admin",
        workspaces.UpdateWorkspace: "admin",
        workspaces.DeleteWorkspace: "admin",
        workspaces.SetMember: "admin",
        workspaces.RemoveMember: "admin",
        accounts.CreateApiKey: "admin",
        accounts.UpdateApiKey: "admin",
        accounts.DeleteApiKey: "admin",
        webhooks.CreateWebhook: "admin",
        webhooks.RegenerateWebhook: "admin",
        webhooks.ToggleWebhook: "admin",
        webhooks.DeleteWebhook: "admin",
        dags.CreateDag: "manager",
        dags.PutSpec: "manager",
        dags.ReplaceSpec: "manager",
        dags.RestoreSpec: "manager",
        dags.RenameDag: "manager",
        dags.DeleteDag: "manager",
        dags.SuspendDag: "operator",
        queues.SetQueue: "manager",
        queues.RemoveQueue: "manager",
        pools.SetPool: "manager",
        pools.RemovePool: "manager",
        pauses.SetPause: "manager",
        pauses.EndPause: "manager",
        workers.DrainWorker: "manager",
        workers.ResumeWorker: "manager",
        secrets.SetSecret: "manager",
        secrets.DeleteSecret: "manager",
        secrets.ResealSecrets: "manager",
        runs.StartRun: "operator",
        runs.EnqueueRun: "operator",
        runs.StartInline: "operator",
        runs.StopRun: "operator",
        runs.DequeueRun: "operator",
        runs.RemoveRun: "manager",
        runs.RetryRun: "operator",
        runs.RescheduleRun: "operator",
        runs.PatchStep: "operator",
        runs.PatchSubStep: "operator",
        approvals.ApproveStep: "operator",
        approvals.RejectStep: "operator",
    }
)
"""The lowest role whose holder may send a command of this type. Exceptions are in ``why_forbidden``."""

SYSTEM_ONLY = frozenset({accounts.CountFailures, accounts.EnsureAdmin, accounts.TouchCredential})
"""Commands that a gateway sends on its own behalf; no user may."""


def why_forbidden(actor: Actor, command: Command) -> str:
    """Return why ``actor``, with its present role, may not send ``command``; an empty text if it may.

    Exceptions to ``MINIMUM_ROLE``: users may change their own passwords; users without a role in the default workspace
    may log out; a webhook may queue runs of its own DAG and do nothing else.
    """
    kind = type(command)
    if (actor.kind == "system") != (kind in SYSTEM_ONLY):
        return f"The command {kind.type} cannot be sent by {actor.kind} {actor.name}"
    if actor.kind == "system":
        return ""
    if actor.kind == "webhook":
        if not actor.role:
            return "This webhook is disabled; an administrator can enable it"
        own = kind is runs.EnqueueRun and actor.name == f"webhook:{getattr(command, 'file_name', '')}"
        return "" if own else "A webhook can only queue runs of its own DAG"
    if isinstance(command, accounts.SetPassword) and actor.kind == "user" and actor.id == command.user_id:
        return ""
    if isinstance(command, accounts.EndLogin) and actor.kind == "user" and actor.role == NO_ROLE:
        return ""
    minimum = MINIMUM_ROLE[kind]
    if outranks(actor.role, minimum):
        return ""
    return f"This request requires the role {minimum}; {actor.name} has {actor.role or 'none'}"
