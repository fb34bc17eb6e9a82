"""Commands about users, API keys and the use of credentials.

The gateway creates and hashes passwords and keys. Commands contain only hashes, and replies contain neither.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.contracts.base import Part
from shared.contracts.commands.base import Command
from shared.login_failures import GuesserKind
from shared.roles import Role

__all__ = [
    "CountFailures",
    "CreateApiKey",
    "CreateUser",
    "DeleteApiKey",
    "DeleteUser",
    "EndLogin",
    "EnsureAdmin",
    "FailureCount",
    "SetPassword",
    "TouchCredential",
    "UpdateApiKey",
    "UpdateUser",
]


class CreateUser(Command):
    """Create a user. Refused if the username is taken."""

    type = "user.create"
    user_id: str
    username: str
    role: Role
    password_hash: str = Field(repr=False)
    members_only: bool = False
    """Whether the user has a role only in the workspaces that it is a member of, and not ``role``."""


class EnsureAdmin(CreateUser):
    """Create the user if there are no users. Otherwise change nothing."""

    type = "user.ensure_admin"


class UpdateUser(Command):
    """Change fields of a user. A field that is ``None`` is not changed. A new role ends the user's login tokens."""

    type = "user.update"
    user_id: str
    username: str | None = None
    role: Role | None = None
    members_only: bool = False
    """With ``role``: see ``CreateUser``."""


class SetPassword(Command):
    """Replace a user's password. The user's login tokens become invalid."""

    type = "user.set_password"
    user_id: str
    password_hash: str = Field(repr=False)


class DeleteUser(Command):
    """Delete a user. The user's login tokens become invalid."""

    type = "user.delete"
    user_id: str


class EndLogin(Command):
    """End one login token. ``token_id`` is the token's id, ``expires_at`` when the token would expire by itself."""

    type = "login.end"
    token_id: str
    expires_at: datetime


class CreateApiKey(Command):
    """Create an API key. Refused if the name is taken."""

    type = "api_key.create"
    key_id: str
    name: str
    description: str = ""
    role: Role
    prefix: str
    secret_hash: str = Field(repr=False)
    created_by: str
    expires_at: datetime | None = None
    """``None``: never."""
    dags: tuple[str, ...] = ()
    """Patterns of the names of the DAGs that the key may use (``dag_scope``); empty: all."""


class UpdateApiKey(Command):
    """Change fields of an API key. A field that is ``None`` is not changed."""

    type = "api_key.update"
    key_id: str
    name: str | None = None
    description: str | None = None
    role: Role | None = None
    expires_at: datetime | None = None
    never_expires: bool = False
    """Whether to remove the expiry."""
    dags: tuple[str, ...] | None = None


class DeleteApiKey(Command):
    """Delete an API key. Requests with the key are refused from then on."""

    type = "api_key.delete"
    key_id: str


class TouchCredential(Command):
    """Record that an API key or a webhook was used. A gateway sends at most one per minute for each of them."""

    type = "credential.touch"
    kind: Literal["api_key", "webhook"]
    id: str


class FailureCount(Part):
    """Failed logins of one guesser (``login_failures``), named by the digest of its key."""

    guesser: str
    kind: GuesserKind
    count: int = Field(ge=1)


class CountFailures(Command):
    """Count failed logins for all gateways. The failures of those ``forgiven`` are forgotten before."""

    type = "login.count_failures"
    forgiven: tuple[str, ...] = ()
    failed: tuple[FailureCount, ...] = ()
