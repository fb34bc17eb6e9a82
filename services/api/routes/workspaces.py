"""Workspaces and their members: additions to Dagu's API."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from services.api.auth.principals import Principal
from services.api.operations import ApiResponse, Body, Call, Operations, Result, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from services.api.representations.json_values import sparse
from services.api.requests import checked_values
from services.api.requests.workspace_names import DEFAULT_LABEL
from services.api.response_schemas.workspaces import (
    MemberAnswerSchema,
    WorkspaceAnswerSchema,
    WorkspaceDetailsSchema,
    WorkspacesSchema,
)
from shared.contracts.commands.workspaces import (
    CreateWorkspace,
    DeleteWorkspace,
    RemoveMember,
    SetMember,
    UpdateWorkspace,
)
from shared.store.reads.reader import WorkspaceRow
from shared.workspaces import DEFAULT, NO_ROLE, QUOTAS, WORKSPACE_RULE, role_there, valid_workspace

__all__ = ["WORKSPACES"]

WORKSPACES = Operations()
_PATH = "/workspaces/{name}"
_MEMBER = f"{_PATH}/members/{{userId}}"
_MAX_DESCRIPTION = 500
_MAX_QUOTA = 1_000_000
_MAX_LOG_BYTES = 10**15


def _quota(what: str, alias: str, default: Any, most: int = _MAX_QUOTA) -> Any:
    return Field(default=default, alias=alias, ge=0, le=most, description=f"limit of {what}; 0: no limit")


def _log_quota(default: Any) -> Any:
    return _quota("bytes of logs stored in a day (UTC)", "maxLogBytesPerDay", default, _MAX_LOG_BYTES)


class CreateWorkspaceBody(Body):
    name: str
    description: str = Field(default="", max_length=_MAX_DESCRIPTION)
    max_running: int = _quota("running runs, without sub-runs", "maxRunning", 0)
    max_queued: int = _quota("queued runs, without sub-runs", "maxQueued", 0)
    max_dags: int = _quota("DAGs", "maxDags", 0)
    max_log_bytes: int = _log_quota(0)


class UpdateWorkspaceBody(Body):
    description: str | None = Field(default=None, max_length=_MAX_DESCRIPTION)
    max_running: int | None = _quota("running runs, without sub-runs", "maxRunning", None)
    max_queued: int | None = _quota("queued runs, without sub-runs", "maxQueued", None)
    max_dags: int | None = _quota("DAGs", "maxDags", None)
    max_log_bytes: int | None = _log_quota(None)


class MemberBody(Body):
    role: str


@WORKSPACES.get("/workspaces", id="listWorkspaces", reach="account", response=WorkspacesSchema)
def list_workspaces(call: Call) -> ApiResponse:
    """List the workspaces in which the principal of this request has a role, the default one first."""
    default = WorkspaceRow(DEFAULT_LABEL, "", call.now, call.now)
    every = [(DEFAULT, default), *((each.name, each) for each in call.deps.reads.workspaces())]
    roles = _roles(call)
    return ok(
        {
            "workspaces": [
                {"name": each.name, "description": each.description, "role": role}
                for name, each in every
                if (role := _role(call.principal, name, roles)) not in {"", NO_ROLE}
            ]
        }
    )


def _roles(call: Call) -> Mapping[str, str]:
    principal = call.principal
    return call.deps.reads.memberships(principal.id) if principal.kind == "user" else principal.members


def _role(principal: Principal, workspace: str, roles: Mapping[str, str]) -> str:
    return role_there(workspace, principal.role, home=principal.home, member=roles.get(workspace, ""))


@WORKSPACES.post(
    "/workspaces", id="createWorkspace", role="admin", reach="server", response=WorkspaceAnswerSchema, status=201
)
def create(call: Call, body: CreateWorkspaceBody) -> ApiResponse:
    """Create a workspace: its DAGs, runs, queues, pools, secrets, API keys and webhooks have names of their own."""
    if not valid_workspace(body.name):
        raise bad_request(f"name: {body.name[:40]!r} must be {WORKSPACE_RULE}", field="name")
    command = CreateWorkspace(by=call.user, name=body.name, description=body.description, **_quotas(body))
    return call.carry_out(command, then=_workspace)


@WORKSPACES.get(_PATH, id="getWorkspace", role="admin", reach="server", response=WorkspaceDetailsSchema)
def details(call: Call, name: str) -> ApiResponse:
    """Return a workspace, its members, and what counts towards its quotas. Administrators are not listed as members."""
    found = call.deps.reads.workspace(_known(name))
    if found is None:
        raise not_found(f"There is no workspace {name!r}")
    members = call.deps.reads.members(found.name)
    shown = _shown(found._asdict())
    if found.max_log_bytes is not None:
        shown["logBytesToday"] = call.deps.reads.log_bytes(found.name, call.now)
    return ok(
        {
            "workspace": shown,
            "members": [_member(each._asdict()) for each in members],
            "used": call.deps.reads.usage(found.name)._asdict(),
        }
    )


@WORKSPACES.patch(_PATH, id="updateWorkspace", role="admin", reach="server", response=WorkspaceAnswerSchema)
def update(call: Call, body: UpdateWorkspaceBody, name: str) -> ApiResponse:
    """Change the description or the quotas of a workspace. Runs and DAGs beyond a new quota stay."""
    command = UpdateWorkspace(by=call.user, name=_known(name), description=body.description, **_quotas(body))
    return call.carry_out(command, then=_workspace)


@WORKSPACES.delete(_PATH, id="deleteWorkspace", role="admin", reach="server", status=204)
def delete(call: Call, name: str) -> ApiResponse:
    """Delete a workspace to which nothing belongs any more."""
    return call.carry_out(DeleteWorkspace(by=call.user, name=_known(name)))


@WORKSPACES.put(_MEMBER, id="setWorkspaceMember", role="admin", reach="server", response=MemberAnswerSchema)
def set_member(call: Call, body: MemberBody, name: str, user_id: str) -> ApiResponse:
    """Make a user a member of a workspace with a role, or change the role of a member."""
    command = SetMember(
        by=call.user,
        name=_known(name),
        user_id=checked_values.known_id(user_id, "user"),
        role=checked_values.role(body.role),
    )
    return call.carry_out(command, then=lambda result: {"member": _member(result["member"])})


@WORKSPACES.delete(_MEMBER, id="removeWorkspaceMember", role="admin", reach="server", status=204)
def remove_member(call: Call, name: str, user_id: str) -> ApiResponse:
    """End the membership of a user."""
    return call.carry_out(
        RemoveMember(by=call.user, name=_known(name), user_id=checked_values.known_id(user_id, "user"))
    )


def _quotas(body: CreateWorkspaceBody | UpdateWorkspaceBody) -> dict[str, Any]:
    return {name: getattr(body, name) for name in QUOTAS}


def _workspace(result: Result) -> dict[str, Any]:
    return {"workspace": _shown(result["workspace"])}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "description": row["description"],
        "createdAt": json_values.precise(row["created_at"]),
        "updatedAt": json_values.precise(row["updated_at"]),
        **sparse(
            maxRunning=row.get("max_running"),
            maxQueued=row.get("max_queued"),
            maxDags=row.get("max_dags"),
            maxLogBytesPerDay=row.get("max_log_bytes"),
        ),
    }


def _member(row: dict[str, Any]) -> dict[str, Any]:
    return {"userId": row["user_id"], "username": row["username"], "role": row["role"]}


def _known(name: str) -> str:
    """Return the name of a workspace in a path. Raises a 404 if no workspace can have it."""
    if name == DEFAULT_LABEL:
        raise not_found("The default workspace has no members and quotas: users have the roles of their accounts in it")
    if not valid_workspace(name):
        raise not_found(f"There is no workspace {name[:40]!r}")
    return name
