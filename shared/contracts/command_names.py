"""Which stored names a command contains, and whether all are names of the command's own workspace. Pure.

A gateway stores the workspace in each name that it takes from a request. A scheduler checks all of them again, so a
command cannot reach into another workspace than the one that its actor has a role in.
"""

from shared.contracts.commands import accounts, approvals, dags, pauses, pools, queues, runs, secrets, webhooks
from shared.contracts.commands.base import Command, DagChange, RunChange
from shared.workspaces import MARK, name_prefix, workspace_of

__all__ = ["stored_names", "why_foreign"]

_BY_NAME = (
    queues.SetQueue,
    queues.RemoveQueue,
    pools.SetPool,
    pools.RemovePool,
    pauses.SetPause,
    pauses.EndPause,
    secrets.SetSecret,
    secrets.DeleteSecret,
    accounts.CreateApiKey,
)
_OWN_WORKSPACE = (
    DagChange,
    RunChange,
    approvals.ApprovalCommand,
    webhooks.WebhookCommand,
    runs.StartRun,
    runs.StartInline,
    secrets.ResealSecrets,
    accounts.UpdateApiKey,
    accounts.DeleteApiKey,
    *_BY_NAME,
)
"""Commands about what belongs to a workspace. All others are about the whole server."""


def stored_names(command: Command) -> tuple[str, ...]:
    """Return all stored names in a command."""
    found: tuple[str | None, ...] = ()
    match command:
        case dags.RenameDag():
            found = command.file_name, command.new_file_name
        case DagChange() | webhooks.WebhookCommand():
            found = (command.file_name,)
        case runs.EnqueueRun():
            found = command.file_name, command.dag_name, command.queue
        case runs.StartRun():
            found = command.file_name, command.dag_name
        case runs.StartInline():
            found = command.dag_name, command.queue
        case runs.RescheduleRun():
            found = command.dag_name, command.new_dag_name
        case RunChange():
            found = (command.dag_name,)
        case secrets.ResealSecrets():
            found = tuple(each.name for each in command.secrets)
        case accounts.UpdateApiKey():
            found = (command.name,)
        case _ if isinstance(command, _BY_NAME):
            found = (command.name,)
    return tuple(filter(None, found))


def why_foreign(command: Command) -> str:
    """Return why a command may not be carried out in its workspace; an empty text if it may."""
    workspace = command.workspace
    if workspace and not isinstance(command, _OWN_WORKSPACE):
        return f"The command {command.type} concerns the whole server, not the workspace {workspace}"
    if workspace and isinstance(command, pauses.SetPause | pauses.EndPause) and command.scope == "global":
        return f"The pause of everything concerns the whole server, not the workspace {workspace}"
    foreign = next((name for name in stored_names(command) if not _belongs(name, workspace)), None)
    if foreign is None:
        return ""
    return f"{foreign[:80]!r} is not a name in the {f'workspace {workspace}' if workspace else 'default workspace'}"


def _belongs(name: str, workspace: str) -> bool:
    return workspace_of(name) == workspace and MARK not in name.removeprefix(name_prefix(workspace))
