"""Checks the actor of each command again, in the transaction that carries the command out.

A gateway has authenticated the actor and checked its role, but the command may have waited since. Actors with a row
(users, API keys, webhooks) are read again, so a deletion, a demotion, the limits of an API key or a disabled webhook
takes effect for every command that is carried out after it. Actors without a row (the static token, Basic, OpenID
Connect, anonymous) exist only in the gateway's configuration: for them the scheduler relies on the gateway.
"""

from collections.abc import Iterable
from datetime import datetime

from shared.contracts import commands as c
from shared.contracts.actors import STORED_KINDS, Actor
from shared.contracts.command_names import why_foreign
from shared.contracts.commands.permissions import why_forbidden
from shared.contracts.dag_scope import dag_names, why_out_of_scope
from shared.errors import DagwayError, NotFound
from shared.store.writes.accounts import AccountWrites, StoredActor
from shared.store.writes.workspaces import WorkspaceWrites
from shared.workspaces import DEFAULT, role_there, workspace_of

__all__ = ["ActorForbidden", "ActorGone", "Actors", "check_allowed", "sender", "sent_by"]

UNSTATED = "unstated"
"""The kind of the actor of a command that names none."""

_CHANGE_ACTORS = (
    c.CreateUser,
    c.UpdateUser,
    c.DeleteUser,
    c.CreateApiKey,
    c.UpdateApiKey,
    c.DeleteApiKey,
    c.WebhookCommand,
    c.DagChange,
    c.CreateWorkspace,
    c.DeleteWorkspace,
    c.SetMember,
    c.RemoveMember,
)
"""Commands after which rows of actors may differ; a webhook follows its DAG."""


class ActorGone(DagwayError):
    """The user, API key or webhook that sent the command does not exist any more, or the API key has expired."""

    code = "unauthorized"


class ActorForbidden(DagwayError):
    """The actor may not send the command now: its role, its DAGs, or its webhook is disabled."""

    code = "forbidden"


def sender(command: c.Command) -> Actor:
    """Return the actor of a command, as its gateway named it; for a command that names none, one without a role."""
    return command.actor or Actor(kind=UNSTATED, id=command.by, name=command.by)


def check_allowed(actor: Actor, command: c.Command) -> None:
    """Raise ``ActorForbidden`` if ``actor``, as it is now, may not send ``command``."""
    if why := why_forbidden(actor, command):
        raise ActorForbidden(why)


def sent_by(command: c.Command, actor: Actor) -> c.Command:
    """Return ``command`` with the name of its checked actor wherever it names its sender."""
    names = {"by": actor.name}
    if isinstance(command, c.ApprovalCommand):
        names["user"] = "" if actor.kind == "anonymous" else actor.name
    known = all(getattr(command, field) == name for field, name in names.items())
    return command if known else command.model_copy(update=names)


class Actors:
    """The actors of one batch of commands, as their rows say now."""

    def __init__(self, accounts: AccountWrites, workspaces: WorkspaceWrites, now: datetime) -> None:
        self._accounts = accounts
        self._workspaces = workspaces
        self._now = now
        self._members: dict[str, dict[str, str]] = {}
        self._existing: set[str] = {DEFAULT}
        self._found: dict[tuple[str, str], StoredActor | None] = {}

    def read(self, actors: Iterable[Actor]) -> None:
        """Read the rows of these actors in one statement. ``present`` then needs none for them."""
        wanted = {(each.kind, each.id) for each in actors if each.kind in STORED_KINDS}
        unknown = wanted - self._found.keys()
        if unknown:
            found = self._accounts.actors(sorted(unknown))
            self._found.update({key: found.get(key) for key in unknown})

    def lock_administrators_for(self, command: c.Command) -> None:
        """Let no other transaction change the roles of administrators before this one ends, if ``command`` may.

        Two of them who demote or delete each other at once would leave none: the second waits here, and is read again.
        """
        if isinstance(command, c.UpdateUser | c.DeleteUser):
            self._accounts.lock_administrators()
            self._found.clear()

    def present(self, sent: Actor, workspace: str = DEFAULT) -> Actor:
        """Return an actor with its current name, and its current role in a workspace. Raises ``ActorGone``."""
        if sent.kind == "oidc":
            # Its gateway has found the role in this workspace, from groups that only the provider knows.
            return sent
        if sent.kind not in STORED_KINDS:
            return sent.model_copy(update={"role": role_there(workspace, sent.role)}) if workspace else sent
        stored = self._row(sent)
        if stored is None:
            raise ActorGone(f"The {sent.kind.replace('_', ' ')} {sent.name} no longer exists")
        if stored.expires_at is not None and stored.expires_at <= self._now:
            raise ActorGone(f"The {sent.kind.replace('_', ' ')} {sent.name} has expired")
        role = self._role(stored.actor, workspace)
        return sent.model_copy(update={"name": stored.actor.name, "role": role})

    def _role(self, actor: Actor, workspace: str) -> str:
        if actor.kind != "user":
            # Its name begins with the kind: apikey:acme␟ci.
            home = workspace_of(actor.name.partition(":")[2])
            return role_there(workspace, actor.role, home=home)
        member = self._member_role(workspace, actor.id) if workspace else ""
        return role_there(workspace, actor.role, member=member)

    def _member_role(self, workspace: str, user_id: str) -> str:
        if user_id not in self._members:
            roles = self._workspaces.roles([user_id])
            self._members[user_id] = {name: role for (name, _), role in roles.items()}
        return self._members[user_id].get(workspace, "")

    def check_scope(self, actor: Actor, command: c.Command) -> None:
        """Raise ``ActorForbidden`` if ``actor`` is an API key that may not use the DAGs of ``command``."""
        stored = self._row(actor) if actor.kind in STORED_KINDS else None
        if stored is not None and (why := why_out_of_scope(actor.name, stored.dags, dag_names(command))):
            raise ActorForbidden(why)

    def _row(self, actor: Actor) -> StoredActor | None:
        self.read([actor])
        return self._found[actor.kind, actor.id]

    def follow(self, command: c.Command) -> None:
        """Forget the rows of actors if ``command``, which was carried out, may have changed them."""
        if isinstance(command, _CHANGE_ACTORS):
            self._found.clear()
            self._members.clear()
            self._existing = {DEFAULT}

    def check_workspace(self, command: c.Command) -> None:
        """Raise ``NotFound`` if the workspace of a command does not exist, ``ActorForbidden`` if it names others."""
        if command.workspace not in self._existing:
            self._existing |= self._workspaces.existing([command.workspace])
        if command.workspace not in self._existing:
            raise NotFound(f"There is no workspace {command.workspace[:40]!r}")
        if why := why_foreign(command):
            raise ActorForbidden(why)
