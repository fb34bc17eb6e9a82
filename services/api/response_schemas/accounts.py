# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of users, API keys and webhooks."""

from typing import Literal

from services.api.response_schemas.base import Schema
from shared.roles import Role

__all__ = [
    "ApiKeyAnswerSchema",
    "ApiKeyMadeSchema",
    "ApiKeySchema",
    "ApiKeysSchema",
    "LoginSchema",
    "MessageSchema",
    "SessionSchema",
    "TriggeredSchema",
    "UserAnswerSchema",
    "UserRole",
    "UserSchema",
    "UsersSchema",
    "WebhookMadeSchema",
    "WebhookSchema",
    "WebhooksSchema",
]

UserRole = Literal[Role, "none"]


class UserSchema(Schema):
    id: str
    username: str
    role: UserRole
    createdAt: str
    updatedAt: str


class UserAnswerSchema(Schema):
    user: UserSchema


class UsersSchema(Schema):
    users: list[UserSchema]


class LoginSchema(Schema):
    token: str
    expiresAt: str
    user: UserSchema


class SessionSchema(Schema):
    expiresAt: str
    user: UserSchema


class MessageSchema(Schema):
    message: str


class ApiKeySchema(Schema):
    id: str
    name: str
    description: str = ""
    role: Role
    keyPrefix: str
    createdAt: str
    updatedAt: str
    createdBy: str
    lastUsedAt: str | None
    expiresAt: str | None = None
    dags: tuple[str, ...] = ()


class ApiKeyAnswerSchema(Schema):
    apiKey: ApiKeySchema


class ApiKeyMadeSchema(ApiKeyAnswerSchema):
    key: str


class ApiKeysSchema(Schema):
    apiKeys: list[ApiKeySchema]


class WebhookSchema(Schema):
    id: str
    dagName: str
    tokenPrefix: str
    enabled: bool
    createdAt: str
    updatedAt: str
    createdBy: str = ""
    lastUsedAt: str = ""


class WebhookMadeSchema(Schema):
    webhook: WebhookSchema
    token: str
    signingSecret: str = ""


class WebhooksSchema(Schema):
    webhooks: list[WebhookSchema]


class TriggeredSchema(Schema):
    dagRunId: str
    dagName: str
