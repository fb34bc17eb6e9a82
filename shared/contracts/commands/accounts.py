"""Commands about users and API keys.

The gateway makes and hashes secrets. Only hashes travel and are stored, and no reply holds one.
"""

from typing import Literal

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = [
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


class CreateUser(Command):
    """Create a user. Refused if the username is taken."""

    type = "user.create"
    user_id: str
    username: str
    role: Role
    password_hash: str = Field(repr=False)


class EnsureAdmin(CreateUser):
    """Create this user if there are no users; otherwise change nothing."""

    type = "user.ensure_admin"


class UpdateUser(Command):
    """Change the given fields of a user; ``None`` leaves a field as it is."""

    type = "user.update"
    user_id: str
    username: str | None = None
    role: Role | None = None


class SetPassword(Command):
    """Replace a user's password."""

    type = "user.set_password"
    user_id: str
    password_hash: str = Field(repr=False)


class DeleteUser(Command):
    """Delete a user. Login tokens of that user stop working."""

    type = "user.delete"
    user_id: str


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


class UpdateApiKey(Command):
    """Change the given fields of an API key; ``None`` leaves a field as it is."""

    type = "api_key.update"
    key_id: str
    name: str | None = None
    description: str | None = None
    role: Role | None = None


class DeleteApiKey(Command):
    """Delete an API key, which stops working."""

    type = "api_key.delete"
    key_id: str


class TouchCredential(Command):
    """Record that an API key or a webhook was used. Each gateway sends at most one a second for each."""

    type = "credential.touch"
    kind: Literal["api_key", "webhook"]
    id: str
