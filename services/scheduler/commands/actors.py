"""Checks the actor of each command again, in the transaction that carries the command out.

A gateway has authenticated the actor and checked its role, but the command may have waited since. Actors with a row
(users, API keys, webhooks) are read again, so a deletion, a demotion, the limits of an API key or a disabled webhook
takes effect for every command that is carried out after it. Actors without a row (the fixed token, Basic, OpenID
Connect, anonymous) exist only in the gateway's configuration: for them the scheduler relies on the gateway.
"""

from collections.abc import Iterable
from datetime import datetime

from shared.contracts import commands as c
from shared.contracts.actors import STORED_KINDS, Actor
from shared.contracts.commands.permissions import why_forbidden
from shared.contracts.dag_scope import dag_names, why_out_of_scope
from shared.errors import DagwayError
from shared.store.writes.accounts import AccountWrites, StoredActor

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
)
"""Commands after which rows of actors may differ; a webhook follows its DAG."""


class ActorGone(DagwayError):
    """The user, API key or webhook that sent the command does not exist any more, or the API key has expired."""

    code = "unauthorized"


class ActorForbidden(DagwayError):
    """The actor may not send the command now: its role, its DAGs, or its webhook is disabled."""

    code = "forbidden"


def sender(command: c.Command) -> Actor:
    """Return the actor of a command, as its gateway named it.

    A command without an actor comes from a gateway of the release before, which names it in ``by``.
    """
    return command.actor or Actor(kind=UNSTATED, id=command.by, name=command.by)


def check_allowed(actor: Actor, command: c.Command) -> None:
    """Raise ``ActorForbidden`` if ``actor``, as it is now, may not send ``command``.

    A command without an actor is allowed in this release, so that gateways of the release before can still send
    commands while they are replaced.
    """
    if command.actor is not None and (why := why_forbidden(actor, command)):
        raise ActorForbidden(why)


def sent_by(command: c.Command, actor: Actor) -> c.Command:
    """Return ``command`` with the name of its checked actor wherever it names its sender."""
    names = {"by": actor.name}
    if isinstance(command, c.ApprovalCommand) and command.actor is not None:
        names["user"] = "" if actor.kind == "anonymous" else actor.name
    known = all(getattr(command, field) == name for field, name in names.items())
    return command if known else command.model_copy(update=names)


class Actors:
    """The actors of one batch of commands, as their rows say now."""

    def __init__(self, accounts: AccountWrites, now: datetime) -> None:
        self._accounts = accounts
        self._now = now
        self._found: dict[tuple[str, str], StoredActor | None] = {}

    def read(self, actors: Iterable[Actor]) -> None:
        """Read the rows of these actors in one statement. ``present`` then needs none for them."""
        wanted = {(each.kind, each.id) for each in actors if each.kind in STORED_KINDS}
        unknown = wanted - self._found.keys()
        if unknown:
            found = self._accounts.actors(sorted(unknown))
            self._found.update({key: found.get(key) for key in unknown})

    def present(self, sent: Actor) -> Actor:
        """Return an actor with its current name and role. Raises ``ActorGone``."""
        if sent.kind not in STORED_KINDS:
            return sent
        stored = self._row(sent)
        if stored is None:
            raise ActorGone(f"The {sent.kind.replace('_', ' ')} {sent.name} no longer exists")
        if stored.expires_at is not None and stored.expires_at <= self._now:
            raise ActorGone(f"The {sent.kind.replace('_', ' ')} {sent.name} has expired")
        return sent.model_copy(update={"name": stored.actor.name, "role": stored.actor.role})

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
