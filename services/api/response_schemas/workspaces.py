# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of workspaces: additions to Dagu's API."""

from pydantic import Field

from services.api.response_schemas.accounts import UserRole
from services.api.response_schemas.base import Schema
from shared.roles import Role

__all__ = [
    "ListedWorkspaceSchema",
    "MemberAnswerSchema",
    "MemberSchema",
    "WorkspaceAnswerSchema",
    "WorkspaceDetailsSchema",
    "WorkspaceSchema",
    "WorkspaceUsageSchema",
    "WorkspacesSchema",
]


class ListedWorkspaceSchema(Schema):
    """``role``: the role that the caller has there."""

    name: str
    description: str
    role: UserRole


class WorkspacesSchema(Schema):
    workspaces: list[ListedWorkspaceSchema]


class WorkspaceSchema(Schema):
    """A quota without a limit is absent."""

    name: str
    description: str
    createdAt: str
    updatedAt: str
    maxRunning: int = 0
    maxQueued: int = 0
    maxDags: int = 0
    maxLogBytesPerDay: int = 0
    logBytesToday: int = Field(
        default=0, description="bytes stored today (UTC); only if there is this quota, and not in lists"
    )


class WorkspaceAnswerSchema(Schema):
    workspace: WorkspaceSchema


class MemberSchema(Schema):
    userId: str
    username: str
    role: Role


class MemberAnswerSchema(Schema):
    member: MemberSchema


class WorkspaceUsageSchema(Schema):
    """Root runs and DAGs."""

    running: int
    queued: int
    dags: int


class WorkspaceDetailsSchema(Schema):
    workspace: WorkspaceSchema
    members: list[MemberSchema]
    used: WorkspaceUsageSchema
