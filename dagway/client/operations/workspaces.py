"""The requests of operations: workspaces. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.workspaces import (
    MemberAnswerSchema,
    WorkspaceAnswerSchema,
    WorkspaceDetailsSchema,
    WorkspacesSchema,
)

__all__ = [
    "create_workspace",
    "delete_workspace",
    "get_workspace",
    "list_workspaces",
    "remove_workspace_member",
    "set_workspace_member",
    "update_workspace",
]


def list_workspaces() -> ApiCall[WorkspacesSchema]:
    """List the workspaces in which the principal of this request has a role, the default one first."""
    return ApiCall("GET", "/workspaces", model(WorkspacesSchema))


def create_workspace(
    *,
    name: str,
    description: str | None = None,
    max_running: int | None = None,
    max_queued: int | None = None,
    max_dags: int | None = None,
    max_log_bytes: int | None = None,
) -> ApiCall[WorkspaceAnswerSchema]:
    """Create a workspace: its DAGs, runs, queues, pools, secrets, API keys and webhooks have names of their own."""
    return ApiCall(
        "POST",
        "/workspaces",
        model(WorkspaceAnswerSchema),
        body={
            "name": name,
            "description": description,
            "maxRunning": max_running,
            "maxQueued": max_queued,
            "maxDags": max_dags,
            "maxLogBytesPerDay": max_log_bytes,
        },
    )


def get_workspace(name: str) -> ApiCall[WorkspaceDetailsSchema]:
    """Return a workspace, its members, and what counts towards its quotas."""
    return ApiCall("GET", path_of("workspaces", name), model(WorkspaceDetailsSchema))


def update_workspace(
    name: str,
    *,
    description: str | None = None,
    max_running: int | None = None,
    max_queued: int | None = None,
    max_dags: int | None = None,
    max_log_bytes: int | None = None,
) -> ApiCall[WorkspaceAnswerSchema]:
    """Change the description or the quotas of a workspace."""
    return ApiCall(
        "PATCH",
        path_of("workspaces", name),
        model(WorkspaceAnswerSchema),
        body={
            "description": description,
            "maxRunning": max_running,
            "maxQueued": max_queued,
            "maxDags": max_dags,
            "maxLogBytesPerDay": max_log_bytes,
        },
    )


def delete_workspace(name: str) -> ApiCall[None]:
    """Delete a workspace to which nothing belongs any more."""
    return ApiCall("DELETE", path_of("workspaces", name), no_content)


def set_workspace_member(name: str, user_id: str, *, role: str) -> ApiCall[MemberAnswerSchema]:
    """Make a user a member of a workspace with a role, or change the role of a member."""
    return ApiCall(
        "PUT", path_of("workspaces", name, "members", user_id), model(MemberAnswerSchema), body={"role": role}
    )


def remove_workspace_member(name: str, user_id: str) -> ApiCall[None]:
    """End the membership of a user."""
    return ApiCall("DELETE", path_of("workspaces", name, "members", user_id), no_content)
