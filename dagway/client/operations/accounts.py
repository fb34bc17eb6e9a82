"""The requests of operations: accounts. Written by ``python -m scripts.client_operations``."""

from dagway.client.api_call import ApiCall, model, no_content, path_of
from services.api.response_schemas.accounts import (
    LoginSchema,
    MessageSchema,
    SessionSchema,
    UserAnswerSchema,
    UsersSchema,
)

__all__ = [
    "change_password",
    "create_user",
    "delete_user",
    "get_current_user",
    "get_user",
    "list_users",
    "login",
    "logout",
    "reset_user_password",
    "start_session",
    "update_user",
    "update_user_by_put",
]


def login(*, username: str, password: str) -> ApiCall[LoginSchema]:
    """Log in with a username and password; return a login token."""
    return ApiCall("POST", "/auth/login", model(LoginSchema), body={"username": username, "password": password})


def start_session(
    *, username: str | None = None, password: str | None = None, token: str | None = None
) -> ApiCall[SessionSchema]:
    """Log in a web page of this gateway."""
    return ApiCall(
        "POST", "/auth/session", model(SessionSchema), body={"username": username, "password": password, "token": token}
    )


def logout() -> ApiCall[None]:
    """End the login of this request: its login token, or its session."""
    return ApiCall("POST", "/auth/logout", no_content)


def get_current_user() -> ApiCall[UserAnswerSchema]:
    """Return the user or key that the credentials of this request belong to."""
    return ApiCall("GET", "/auth/me", model(UserAnswerSchema))


def change_password(*, current_password: str, new_password: str) -> ApiCall[MessageSchema]:
    """Change the password of the user who is logged in."""
    return ApiCall(
        "POST",
        "/auth/change-password",
        model(MessageSchema),
        body={"currentPassword": current_password, "newPassword": new_password},
    )


def list_users() -> ApiCall[UsersSchema]:
    """List all users, oldest first."""
    return ApiCall("GET", "/users", model(UsersSchema))


def create_user(*, username: str, password: str, role: str) -> ApiCall[UserAnswerSchema]:
    """Create a user with a password and a role."""
    return ApiCall(
        "POST", "/users", model(UserAnswerSchema), body={"username": username, "password": password, "role": role}
    )


def get_user(user_id: str) -> ApiCall[UserAnswerSchema]:
    """Return one user."""
    return ApiCall("GET", path_of("users", user_id), model(UserAnswerSchema))


def update_user_by_put(
    user_id: str, *, username: str | None = None, role: str | None = None
) -> ApiCall[UserAnswerSchema]:
    """Change the username or role of a user."""
    return ApiCall("PUT", path_of("users", user_id), model(UserAnswerSchema), body={"username": username, "role": role})


def update_user(user_id: str, *, username: str | None = None, role: str | None = None) -> ApiCall[UserAnswerSchema]:
    """Change the username or role of a user."""
    return ApiCall(
        "PATCH", path_of("users", user_id), model(UserAnswerSchema), body={"username": username, "role": role}
    )


def delete_user(user_id: str) -> ApiCall[None]:
    """Delete a user."""
    return ApiCall("DELETE", path_of("users", user_id), no_content)


def reset_user_password(user_id: str, *, new_password: str) -> ApiCall[MessageSchema]:
    """Set a new password for a user, without the current password."""
    return ApiCall(
        "POST", path_of("users", user_id, "reset-password"), model(MessageSchema), body={"newPassword": new_password}
    )
