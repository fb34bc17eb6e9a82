"""Commands about who may do what: users and API keys.

Secrets are made and hashed by the gateway; only hashes travel and are stored. Nothing here is ever
answered with a hash.
"""

from typing import Literal

from pydantic import Field

from shared.contracts.commands import Command

__all__ = [
    "AccountCommand",
    "CreateApiKey",
    "CreateUser",
    "DeleteApiKey",
    "DeleteUser",
    "EnsureAdmin",
    "SetPassword",
    "TouchCredential",
    "UpdateApiKey",
    "UpdateUser",
]

Role = Literal["admin", "manager", "operator", "viewer"]


class AccountCommand(Command):
    """What these have in common."""


class CreateUser(AccountCommand):
    """Refused when the username is taken."""

    type = "user.create"
    user_id: str
    username: str
    role: Role
    password_hash: str = Field(repr=False)


class EnsureAdmin(CreateUser):
    """Create this user only if there is no user at all; otherwise nothing changes."""

    type = "user.ensure_admin"


class UpdateUser(AccountCommand):
    """Change what is given; ``None`` stays as it is."""

    type = "user.update"
    user_id: str
    username: str | None = None
    role: Role | None = None


class SetPassword(AccountCommand):
    """Replace a user's password."""

    type = "user.set_password"
    user_id: str
    password_hash: str = Field(repr=False)


class DeleteUser(AccountCommand):
    """Remove a user; tokens issued to it are worth nothing from then on."""

    type = "user.delete"
    user_id: str


class CreateApiKey(AccountCommand):
    """Refused when the name is taken."""

    type = "api_key.create"
    key_id: str
    name: str
    description: str = ""
    role: Role
    prefix: str
    secret_hash: str = Field(repr=False)
    created_by: str


class UpdateApiKey(AccountCommand):
    """Change what is given; ``None`` stays as it is."""

    type = "api_key.update"
    key_id: str
    name: str | None = None
    description: str | None = None
    role: Role | None = None


class DeleteApiKey(AccountCommand):
    """Remove a key; it is worth nothing from then on."""

    type = "api_key.delete"
    key_id: str


class TouchCredential(AccountCommand):
    """A key or webhook was used; sent once a second each at most, by each gateway."""

    type = "credential.touch"
    kind: Literal["api_key", "webhook"]
    id: str
