"""Commands: requests to change something. A scheduler carries out each command exactly once, or refuses it.

The id of a command is the id of its envelope: the ``Idempotency-Key`` of the HTTP request if it has one, else a new id.
``file_name`` is the name of a DAG's file without extension. ``dag_name`` is the name under which its runs are stored.
"""

from shared.contracts.commands.accounts import (
    CountFailures,
    CreateApiKey,
    CreateUser,
    DeleteApiKey,
    DeleteUser,
    EndLogin,
    EnsureAdmin,
    SetPassword,
    TouchCredential,
    UpdateApiKey,
    UpdateUser,
)
from shared.contracts.commands.approvals import ApprovalCommand, ApproveStep, RejectStep
from shared.contracts.commands.base import BEGUN, Command, CommandReply, DagChange, RefusedError, RunChange
from shared.contracts.commands.dags import (
    CreateDag,
    DeleteDag,
    PutSpec,
    RenameDag,
    ReplaceSpec,
    RestoreSpec,
    SuspendDag,
)
from shared.contracts.commands.dead_letters import DiscardDeadLetter, ReturnDeadLetter
from shared.contracts.commands.pauses import EndPause, SetPause
from shared.contracts.commands.pools import RemovePool, SetPool
from shared.contracts.commands.queues import RemoveQueue, SetQueue
from shared.contracts.commands.runs import (
    DequeueRun,
    EnqueueRun,
    PatchStep,
    PatchSubStep,
    RemoveRun,
    RescheduleRun,
    RetryRun,
    StartInline,
    StartRun,
    StopRun,
)
from shared.contracts.commands.secrets import DeleteSecret, ResealedSecret, ResealSecrets, SetSecret
from shared.contracts.commands.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    RegenerateWebhook,
    ToggleWebhook,
    WebhookCommand,
)
from shared.contracts.commands.worker_pools import ReleaseWorkerPool, ReserveWorkerPool
from shared.contracts.commands.workers import DrainWorker, ResumeWorker
from shared.contracts.commands.workspaces import (
    CreateWorkspace,
    DeleteWorkspace,
    RemoveMember,
    SetMember,
    UpdateWorkspace,
)

__all__ = [
    "BEGUN",
    "ApprovalCommand",
    "ApproveStep",
    "Command",
    "CommandReply",
    "CountFailures",
    "CreateApiKey",
    "CreateDag",
    "CreateUser",
    "CreateWebhook",
    "CreateWorkspace",
    "DagChange",
    "DeleteApiKey",
    "DeleteDag",
    "DeleteSecret",
    "DeleteUser",
    "DeleteWebhook",
    "DeleteWorkspace",
    "DequeueRun",
    "DiscardDeadLetter",
    "DrainWorker",
    "EndLogin",
    "EndPause",
    "EnqueueRun",
    "EnsureAdmin",
    "PatchStep",
    "PatchSubStep",
    "PutSpec",
    "RefusedError",
    "RegenerateWebhook",
    "RejectStep",
    "ReleaseWorkerPool",
    "RemoveMember",
    "RemovePool",
    "RemoveQueue",
    "RemoveRun",
    "RenameDag",
    "ReplaceSpec",
    "RescheduleRun",
    "ResealSecrets",
    "ResealedSecret",
    "ReserveWorkerPool",
    "RestoreSpec",
    "ResumeWorker",
    "RetryRun",
    "ReturnDeadLetter",
    "RunChange",
    "SetMember",
    "SetPassword",
    "SetPause",
    "SetPool",
    "SetQueue",
    "SetSecret",
    "StartInline",
    "StartRun",
    "StopRun",
    "SuspendDag",
    "ToggleWebhook",
    "TouchCredential",
    "UpdateApiKey",
    "UpdateUser",
    "UpdateWorkspace",
    "WebhookCommand",
]
