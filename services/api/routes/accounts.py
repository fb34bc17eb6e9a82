"""Logging in, and users (REST contract sections 5.14 and 5.15)."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from pydantic import Field, SecretStr

from services.api.auth.authentication import ADDRESS, forbidden, unauthorized
from services.api.auth.principals import Principal
from services.api.auth.tokens import drawn
from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, created, ok, removed
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from shared.contracts.commands.accounts import CreateUser, DeleteUser, SetPassword, UpdateUser
from shared.store.reads.reader import UserRow

__all__ = ["ACCOUNTS", "role_of"]

ACCOUNTS = Operations()
_ROLES = ("admin", "manager", "operator", "viewer")
_MIN_PASSWORD, _MAX_PASSWORD, _MAX_NAME = 8, 1024, 64
_USER = "/users/{userId}"
_NO_LOGIN = partial(unauthorized, "Logging in needs the builtin authentication mode")
_NO_USERS = partial(unauthorized, "Users need the builtin authentication mode")


class LoginBody(Body):
    username: str = Field(max_length=1000)
    password: SecretStr = Field(max_length=_MAX_PASSWORD)


class ChangePasswordBody(Body):
    current_password: SecretStr = Field(alias="currentPassword", max_length=_MAX_PASSWORD)
    new_password: SecretStr = Field(alias="newPassword", max_length=_MAX_PASSWORD)


class ResetPasswordBody(Body):
    new_password: SecretStr = Field(alias="newPassword", max_length=_MAX_PASSWORD)


class CreateUserBody(Body):
    username: str
    password: SecretStr = Field(max_length=_MAX_PASSWORD)
    role: str


class UpdateUserBody(Body):
    username: str = ""
    role: str | None = None


@ACCOUNTS.post("/auth/login", id="login", role="public", body=LoginBody, builtin=_NO_LOGIN)
def login(call: Call, body: LoginBody) -> Answer:
    """Exchange a name and a password for a token."""
    deps = call.deps
    names = (f"user {body.username[:200]}", f"{ADDRESS}{call.address}")
    deps.auth.limits.check(*names)
    deps.first_user.ensure()
    user = deps.reads.user_named(body.username) if "\0" not in body.username else None
    if not deps.auth.passwords.fits(user.password_hash if user else None, body.password.get_secret_value()):
        deps.auth.limits.failed(*names)
        raise unauthorized("Wrong username or password")
    assert user is not None  # noqa: S101 - nobody's password never fits
    token, ends = deps.auth.issue(user)
    return ok({"token": token, "expiresAt": json_values.precise(ends), "user": _shown(user)})


@ACCOUNTS.get("/auth/me", id="getCurrentUser")
def me(call: Call) -> Answer:
    """Return whoever the credentials are of."""
    if not call.principal.known:
        raise unauthorized("No user is logged in")
    return ok({"user": _shown(call.principal)})


@ACCOUNTS.post("/auth/change-password", id="changePassword", body=ChangePasswordBody, builtin=_NO_USERS)
def change_password(call: Call, body: ChangePasswordBody) -> Answer:
    """Change one's own password."""
    if call.principal.kind != "user":
        raise forbidden("Only users who logged in have a password to change")
    user = _find(call, call.principal.id)
    call.deps.auth.limits.check(f"user {user.username}")
    fits = call.deps.auth.passwords.fits
    # Sent again under its key, the change finds itself made: the new password is the current one.
    repeated = call.key is not None and fits(user.password_hash, body.new_password.get_secret_value())
    if not repeated and not fits(user.password_hash, body.current_password.get_secret_value()):
        call.deps.auth.limits.failed(f"user {user.username}")
        raise unauthorized("The current password is wrong")
    return _set_password(call, user.id, body.new_password, "Password changed")


@ACCOUNTS.get("/users", id="listUsers", role="admin", builtin=_NO_USERS)
def list_users(call: Call) -> Answer:
    """List the users, the oldest first."""
    return ok({"users": [_shown(each) for each in call.deps.reads.users()]})


@ACCOUNTS.post("/users", id="createUser", role="admin", body=CreateUserBody, builtin=_NO_USERS)
def create_user(call: Call, body: CreateUserBody) -> Answer:
    """Add a user."""
    secret = call.deps.settings.token_secret
    random = drawn(16, server_secret=secret, purpose="user id", key=call.key)
    command = CreateUser(
        by=call.user,
        user_id=str(UUID(bytes=random, version=4)) if call.key else str(uuid4()),
        username=_username(body.username),
        role=role_of(body.role),
        password_hash=_hash(call, body.password),
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id})
    return created({"user": _from_reply(outcome.result["user"])})


@ACCOUNTS.get(_USER, id="getUser", role="admin", builtin=_NO_USERS)
def get_user(call: Call, user_id: str) -> Answer:
    """Return a user."""
    return ok({"user": _shown(_find(call, user_id))})


@ACCOUNTS.patch(_USER, id="updateUser", role="admin", body=UpdateUserBody, builtin=_NO_USERS)
@ACCOUNTS.put(_USER, id="updateUserByPut", role="admin", body=UpdateUserBody, builtin=_NO_USERS)
def update_user(call: Call, body: UpdateUserBody, user_id: str) -> Answer:
    """Change a user's name or role; PUT does the same, since front ends use it."""
    command = UpdateUser(
        by=call.user,
        user_id=_id(user_id),
        username=_username(body.username) if body.username else None,
        role=role_of(body.role) if body.role is not None else None,
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id})
    return ok({"user": _from_reply(outcome.result["user"])})


@ACCOUNTS.delete(_USER, id="deleteUser", role="admin", builtin=_NO_USERS)
def delete_user(call: Call, user_id: str) -> Answer:
    """Remove a user, but not oneself."""
    if call.principal.kind == "user" and call.principal.id == user_id:
        raise forbidden("You cannot delete yourself")
    outcome = call.deps.commands.ask(DeleteUser(by=call.user, user_id=_id(user_id)), key=call.key)
    return accepted({"commandId": outcome.command_id}) if isinstance(outcome, Accepted) else removed()


@ACCOUNTS.post(
    f"{_USER}/reset-password", id="resetUserPassword", role="admin", body=ResetPasswordBody, builtin=_NO_USERS
)
def reset_password(call: Call, body: ResetPasswordBody, user_id: str) -> Answer:
    """Give a user another password."""
    return _set_password(call, _id(user_id), body.new_password, "Password reset")


def role_of(text: str) -> Any:
    """Return a role's name; raises a 400 for what is none."""
    if text not in _ROLES:
        raise bad_request(f"role: must be one of {', '.join(_ROLES)}", field="role")
    return text


def _set_password(call: Call, user_id: str, password: SecretStr, message: str) -> Answer:
    command = SetPassword(by=call.user, user_id=user_id, password_hash=_hash(call, password))
    outcome = call.deps.commands.ask(command, key=call.key)
    return accepted({"commandId": outcome.command_id}) if isinstance(outcome, Accepted) else ok({"message": message})


def _hash(call: Call, password: SecretStr) -> str:
    text = password.get_secret_value()
    if len(text.encode()) < _MIN_PASSWORD:
        raise bad_request(f"password: {_MIN_PASSWORD} characters at least")
    secret = call.deps.settings.token_secret
    return call.deps.auth.passwords.hash(text, drawn(16, server_secret=secret, purpose="salt", key=call.key))


def _username(text: str) -> str:
    name = text.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise bad_request(f"username: 1 to {_MAX_NAME} printable characters", field="username")
    return name


def _id(user_id: str) -> str:
    if len(user_id) > 36 or "\0" in user_id:
        raise not_found(f"There is no user {user_id[:40]!r}")
    return user_id


def _find(call: Call, user_id: str) -> UserRow:
    found = call.deps.reads.user(_id(user_id))
    if found is None:
        raise not_found(f"There is no user {user_id!r}")
    return found


def _shown(user: UserRow | Principal) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "createdAt": json_values.precise(user.created_at),
        "updatedAt": json_values.precise(user.updated_at),
    }


def _from_reply(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "username": row["username"],
        "role": row["role"],
        "createdAt": json_values.zulu(row["created_at"]),
        "updatedAt": json_values.zulu(row["updated_at"]),
    }
