"""The options by which a command finds its gateway and workspace, and authenticates itself."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import click

from services.cli.profiles import Profile, profiles_path, read_profiles
from services.cli.remote.gateway import Gateway, ServerConnection
from services.cli.settings import options_of
from shared.errors import ConfigInvalid
from shared.settings.config import Config, environment, load_config

__all__ = ["authorization", "connection_of", "find_connection", "with_gateway", "with_server"]

_DEFAULT_URL = "http://127.0.0.1:8080"
_FIELDS = ("url", "profile", "workspace", "auth_basic_username", "auth_basic_password")
F = TypeVar("F", bound=Callable[..., Any])


def authorization(token: str, username: str, password: str) -> str:
    """Return the value of the ``Authorization`` header, or an empty text. A token takes precedence over a username."""
    if token:
        return f"Bearer {token}"
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}" if username else ""


def connection_of(
    config: Config, given: Mapping[str, Any], profiles: Mapping[str, Profile], in_use: str
) -> ServerConnection:
    """Return the connection that options, environment and profiles ask for. ``given`` are the options alone.

    The URL is that of ``--url``, ``--profile``, ``DAGWAY_URL``, ``DAGWAY_PROFILE``, the profile in use, or this
    machine's, in this order. The credentials of a profile are sent to the URL of that profile only. An option with
    credentials takes precedence over them; a variable does not.

    Raises:
        ConfigInvalid: the profile does not exist.
    """
    name = "" if given.get("url") else given.get("profile") or ("" if config.url else config.profile or in_use)
    asked = authorization(
        given.get("auth_token") or "", given.get("auth_basic_username") or "", config.auth_basic_password
    )
    set_by_variables = authorization(config.auth_token, config.auth_basic_username, config.auth_basic_password)
    if not name:
        source = "--url" if given.get("url") else "DAGWAY_URL" if config.url else ""
        credentials = asked or set_by_variables
        return ServerConnection(config.url or _DEFAULT_URL, credentials, source=source, workspace=config.workspace)
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigInvalid(
            f"there is no profile {name!r} (profiles: {known}); create it with: dagway config set {name}"
        )
    profile = profiles[name]
    own = authorization(profile.token, profile.username, profile.password)
    workspace = given.get("workspace") or profile.workspace or config.workspace
    credentials = asked or own or set_by_variables
    return ServerConnection(profile.url, credentials, profile.ca_file, f"profile {name}", workspace)


def find_connection(given: Mapping[str, Any]) -> ServerConnection:
    """Return the connection for these options, the environment and the file of profiles."""
    environ = environment()
    config = load_config(given, environ)
    profiles = read_profiles(profiles_path(environ))
    return connection_of(config, given, profiles.by_name, profiles.use)


def with_gateway(function: F) -> F:
    """Add the options by which a command finds its gateway, and call it with the ``Gateway`` as first argument."""
    return _with_gateway(function, _FIELDS, lambda connection: connection)


def with_server(function: F) -> F:
    """Like ``with_gateway``, for commands about the whole server: their requests name no workspace."""
    fields = tuple(name for name in _FIELDS if name != "workspace")
    return _with_gateway(function, fields, lambda connection: replace(connection, workspace=""))


def _with_gateway(function: F, fields: tuple[str, ...], adapt: Callable[[ServerConnection], ServerConnection]) -> F:
    @wraps(function)
    def call(token: str | None, **rest: Any) -> Any:
        given = {"auth_token": token} | {name: rest.pop(name) for name in fields}
        return function(Gateway(adapt(find_connection(given))), **rest)

    token = click.option("--token", help="API key or token for the gateway  [DAGWAY_AUTH_TOKEN]")
    return options_of(*fields)(token(call))  # type: ignore[return-value]
