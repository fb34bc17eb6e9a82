"""Commands about workspaces and their members. They are sent in the default workspace."""

from shared.contracts.commands.base import Command
from shared.roles import Role

__all__ = ["CreateWorkspace", "DeleteWorkspace", "RemoveMember", "SetMember", "UpdateWorkspace"]


class CreateWorkspace(Command):
    """Create a workspace. Refused if it exists."""

    type = "workspace.create"
    name: str
    description: str = ""
    max_running: int = 0
    max_queued: int = 0
    max_dags: int = 0
    """Quotas of running root runs, of queued root runs, and of DAGs; 0: no limit."""
    max_log_bytes: int = 0
    """Quota of the bytes of logs of one day (UTC); 0: no limit."""


class UpdateWorkspace(Command):
    """Change fields of a workspace. A field that is ``None`` is not changed."""

    type = "workspace.update"
    name: str
    description: str | None = None
    max_running: int | None = None
    max_queued: int | None = None
    max_dags: int | None = None
    max_log_bytes: int | None = None


class DeleteWorkspace(Command):
    """Delete a workspace and its memberships. Refused while anything belongs to it."""

    type = "workspace.delete"
    name: str


class SetMember(Command):
    """Make a user a member of a workspace, or change the role of a member."""

    type = "workspace.set_member"
    name: str
    user_id: str
    role: Role


class RemoveMember(Command):
    """End the membership of a user."""

    type = "workspace.remove_member"
    name: str
    user_id: str
