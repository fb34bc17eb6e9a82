"""Login and users (as in Dagu's REST API v2)."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

from pydantic import Field, SecretStr

from services.api.auth.authentication import forbidden, principal_of, unauthorized
from services.api.auth.password_rules import why_refused
from services.api.auth.principals import Principal
from services.api.operations import ApiResponse, Body, Call, Operations, Result, ok
from services.api.problems import bad_request, not_found
from services.api.representations import accounts_json, json_values
from services.api.requests import checked_values
from services.api.response_schemas.accounts import (
    LoginSchema,
    MessageSchema,
    SessionSchema,
    UserAnswerSchema,
    UsersSchema,
)
from shared.contracts.audit import AuditTarget
from shared.contracts.commands.accounts import CreateUser, DeleteUser, EndLogin, SetPassword, UpdateUser
from shared.login_failures import by_address, by_login
from shared.store.reads.reader import UserRow
from shared.workspaces import NO_ROLE, ForeignName, check_unmarked

__all__ = ["ACCOUNTS"]

ACCOUNTS = Operations()
_MAX_PASSWORD, _MAX_NAME = 1024, 64
_USER = "/users/{userId}"
_NO_LOGIN = partial(unauthorized, "Login requires the builtin authentication mode (DAGWAY_AUTH_MODE=builtin)")
_NO_SESSIONS = "Login requires the builtin authentication mode, a Basic password or a static token (DAGWAY_AUTH_MODE)"
_NO_USERS = partial(unauthorized, "User accounts require the builtin authentication mode (DAGWAY_AUTH_MODE=builtin)")


class LoginBody(Body):
    username: str = Field(max_length=1000)
    password: SecretStr = Field(max_length=_MAX_PASSWORD)


class SessionBody(Body):
    username: str = Field(default="", max_length=1000)
    password: SecretStr = Field(default=SecretStr(""), max_length=_MAX_PASSWORD)
    token: SecretStr = Field(
        default=SecretStr(""), max_length=10_000, description="the static token, where the server has one and no users"
    )


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


@ACCOUNTS.post(
    "/auth/login",
    id="login",
    role="public",
    builtin=_NO_LOGIN,
    response=LoginSchema,
    pending=False,
    failures=(401, 403, 429),
)
def login(call: Call, body: LoginBody) -> ApiResponse:
    """Log in with a username and password; return a login token."""
    user = _checked(call, body.username, body.password)
    token, ends = call.deps.auth.issue(user)
    return ok({"token": token, "expiresAt": json_values.precise(ends), "user": accounts_json.user(user)})


@ACCOUNTS.post(
    "/auth/session",
    id="startSession",
    role="public",
    starts_session=True,
    response=SessionSchema,
    pending=False,
    failures=(401, 403, 429),
)
def start_session(call: Call, body: SessionBody) -> ApiResponse:
    """Log in a web page of this gateway. The login token is in a cookie that no script can read.

    If the server has no users, the body may have the static token instead of a name and password. Programs send
    credentials in the header Authorization instead.
    """
    auth, settings = call.deps.auth, call.deps.settings
    if not settings.has_sessions:
        raise unauthorized(_NO_SESSIONS)
    if settings.builtin:
        user = _checked(call, body.username, body.password)
        principal, (token, ends) = principal_of(user), auth.issue(user)
    else:
        principal = _known_to_settings(call, body)
        token, ends = auth.issue_for_settings(principal)
    content = {"expiresAt": json_values.precise(ends), "user": accounts_json.user(asdict(principal))}
    return ApiResponse(call.success, content, headers=call.session.set(token, now=call.now, ends=ends))


@ACCOUNTS.post("/auth/logout", id="logout", role="public", ends_session=True, status=204, failures=(401, 403, 429))
def logout(call: Call) -> ApiResponse:
    """End the login of this request: its login token, or its session. Without a valid one, nothing changes.

    Public, so that a client that did not get the answer can ask again.
    """
    auth, principal = call.deps.auth, call.principal
    if not call.deps.settings.has_sessions:
        raise unauthorized(_NO_SESSIONS)
    scheme, _, value = call.headers.get("Authorization", "").partition(" ")
    given = call.session.token if principal.by_session else value.strip() if scheme.lower() == "bearer" else ""
    token = auth.logins.read(given, call.now)
    # Also a cookie whose session has ended: the page has nothing to remember then.
    forget = call.session.remove() if call.session.token and (principal.by_session or not principal.known) else {}
    if token is None or not (principal.by_session or principal.kind == "user"):
        return ApiResponse(call.success, headers=forget)
    call = call.made_by(principal)
    response = call.carry_out(EndLogin(by=call.user, token_id=token.id, expires_at=token.expires_at))
    return replace(response, headers={**response.headers, **forget})


def _checked(call: Call, username: str, password: SecretStr) -> UserRow:
    """Return the user with this name and password. Raises a 401, or a 429 after too many wrong ones."""
    deps = call.deps
    call.trail.target = AuditTarget(kind="user", name=username)
    guessers = by_login(username, call.address), by_address(call.address)
    deps.auth.guesses.check(*guessers)
    deps.first_user.ensure()
    user = deps.reads.user_named(username) if "\0" not in username else None
    stored = user.password_hash if user else None
    if not deps.auth.password_fits(stored, password.get_secret_value(), *guessers):
        raise unauthorized("Wrong username or password")
    assert user is not None  # noqa: S101 - no password fits a user that does not exist
    call.trail.note(principal_of(user))
    call.trail.target = AuditTarget(kind="user", name=user.username, id=user.id)
    deps.auth.guesses.succeeded(guessers[0])
    return user


def _known_to_settings(call: Call, body: SessionBody) -> Principal:
    """Return who knows the static token or the Basic password of the settings. Raises a 401 or 429."""
    token = body.token.get_secret_value().strip()
    call.trail.target = AuditTarget(kind="user", name=body.username)
    principal = call.deps.auth.of_settings(
        username=body.username, password=body.password.get_secret_value(), token=token, address=call.address
    )
    if not principal.known:
        raise unauthorized("Wrong token" if token else "Wrong username or password")
    call.trail.note(principal)
    call.trail.target = AuditTarget(kind="user", name=principal.username, id=principal.id)
    return principal


@ACCOUNTS.get("/auth/me", id="getCurrentUser", reach="account", response=UserAnswerSchema)
def me(call: Call) -> ApiResponse:
    """Return the user or key that the credentials of this request belong to."""
    if not call.principal.known:
        raise unauthorized("No user is logged in")
    return ok({"user": accounts_json.user(asdict(call.principal))})


@ACCOUNTS.post(
    "/auth/change-password",
    id="changePassword",
    reach="account",
    builtin=_NO_USERS,
    response=MessageSchema,
    failures=(429,),
)
def change_password(call: Call, body: ChangePasswordBody) -> ApiResponse:
    """Change the password of the user who is logged in. Ends all logins of the user, including this one."""
    if call.principal.kind != "user":
        raise forbidden("Only users who logged in with a password can change it")
    user = _find(call, call.principal.id)
    guesser = by_login(user.username, call.address)
    call.deps.auth.guesses.check(guesser)
    fits = partial(call.deps.auth.password_fits, user.password_hash)
    # If a request with an Idempotency-Key is repeated, the current password is the new one already.
    repeated = call.key is not None and fits(body.new_password.get_secret_value())
    if not repeated and not fits(body.current_password.get_secret_value(), guesser):
        raise unauthorized("The current password is wrong")
    return _set_password(call, user, body.new_password, "Password changed")


@ACCOUNTS.get("/users", id="listUsers", role="admin", reach="server", builtin=_NO_USERS, response=UsersSchema)
def list_users(call: Call) -> ApiResponse:
    """List all users, oldest first."""
    return ok({"users": [accounts_json.user(each) for each in call.deps.reads.users()]})


@ACCOUNTS.post(
    "/users", id="createUser", role="admin", reach="server", builtin=_NO_USERS, response=UserAnswerSchema, status=201
)
def create_user(call: Call, body: CreateUserBody) -> ApiResponse:
    """Create a user with a password and a role."""
    username = _username(body.username)
    command = CreateUser(
        by=call.user,
        user_id=call.drawn_id("user id"),
        username=username,
        **_role(body.role),
        password_hash=_hash(call, body.password, username),
    )
    return call.carry_out(command, then=_user)


@ACCOUNTS.get(_USER, id="getUser", role="admin", reach="server", builtin=_NO_USERS, response=UserAnswerSchema)
def get_user(call: Call, user_id: str) -> ApiResponse:
    """Return one user."""
    return ok({"user": accounts_json.user(_find(call, user_id))})


@ACCOUNTS.patch(_USER, id="updateUser", role="admin", reach="server", builtin=_NO_USERS, response=UserAnswerSchema)
@ACCOUNTS.put(_USER, id="updateUserByPut", role="admin", reach="server", builtin=_NO_USERS, response=UserAnswerSchema)
def update_user(call: Call, body: UpdateUserBody, user_id: str) -> ApiResponse:
    """Change the username or role of a user. A new role ends the user's logins.

    Administrators cannot take that role from themselves. PUT and PATCH do the same, because some front ends use PUT.
    """
    if _is_self(call, user_id) and body.role not in {None, "admin"}:
        raise forbidden("You cannot take the role admin from yourself")
    command = UpdateUser(
        by=call.user,
        user_id=checked_values.known_id(user_id, "user"),
        username=_username(body.username) if body.username else None,
        **(_role(body.role) if body.role is not None else {}),
    )
    return call.carry_out(command, then=_user)


@ACCOUNTS.delete(_USER, id="deleteUser", role="admin", reach="server", builtin=_NO_USERS, status=204)
def delete_user(call: Call, user_id: str) -> ApiResponse:
    """Delete a user. Users cannot delete themselves."""
    if _is_self(call, user_id):
        raise forbidden("You cannot delete yourself")
    return call.carry_out(DeleteUser(by=call.user, user_id=checked_values.known_id(user_id, "user")))


@ACCOUNTS.post(
    f"{_USER}/reset-password",
    id="resetUserPassword",
    role="admin",
    reach="server",
    builtin=_NO_USERS,
    response=MessageSchema,
)
def reset_password(call: Call, body: ResetPasswordBody, user_id: str) -> ApiResponse:
    """Set a new password for a user, without the current password. Ends all logins of the user."""
    return _set_password(call, _find(call, user_id), body.new_password, "Password reset")


def _set_password(call: Call, user: UserRow, password: SecretStr, message: str) -> ApiResponse:
    command = SetPassword(by=call.user, user_id=user.id, password_hash=_hash(call, password, user.username))
    return call.carry_out(command, then={"message": message})


def _is_self(call: Call, user_id: str) -> bool:
    return call.principal.kind == "user" and call.principal.id == user_id


def _role(text: str) -> dict[str, Any]:
    """Return the fields of a command for a role of the API, which has ``none`` for members of workspaces only."""
    members_only = checked_values.role(text, NO_ROLE) == NO_ROLE
    return {"role": "viewer" if members_only else text, "members_only": members_only}


def _user(result: Result) -> dict[str, Any]:
    return {"user": accounts_json.user(result["user"])}


def _hash(call: Call, password: SecretStr, username: str) -> str:
    text = password.get_secret_value()
    if why := why_refused(text, username):
        raise bad_request(f"password: {why}", field="password")
    return call.deps.auth.passwords.hash(text, call.drawn(16, "salt"))


def _username(text: str) -> str:
    name = checked_values.printable(text, "username", most=_MAX_NAME)
    try:
        check_unmarked(name, "username")
    except ForeignName as error:
        raise bad_request(str(error), field="username") from error
    return name


def _find(call: Call, user_id: str) -> UserRow:
    found = call.deps.reads.user(checked_values.known_id(user_id, "user"))
    if found is None:
        raise not_found(f"There is no user {user_id!r}")
    return found
