"""The validated settings of a gateway."""

import json
import logging
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.api.browser_guard import BrowserRules, is_loopback
from services.api.serving.held_threads import MOST_FOLLOWERS
from shared.clock import local_zone
from shared.errors import ConfigInvalid
from shared.outbound import OutboundPolicy
from shared.secret_box import SecretBox
from shared.settings.effective import EffectiveSetting, effective_settings
from shared.settings.options import OPTIONS
from shared.workspaces import ForeignName, check_unmarked

if TYPE_CHECKING:
    from shared.settings.config import Config

__all__ = ["Oidc", "RemoteNode", "Settings", "settings_from", "warn_if_open"]

_log = logging.getLogger(__name__)

_MIN_SECRET_CHARS = 32


class RemoteNode(BaseModel):
    """Another server with the same API, to which this gateway can forward requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    name: str = Field(min_length=1, max_length=100)
    api_base_url: str = Field(alias="apiBaseURL", pattern=r"^https?://[^\s]+$")
    is_basic_auth: bool = Field(default=False, alias="isBasicAuth")
    basic_auth_username: str = Field(default="", alias="basicAuthUsername")
    basic_auth_password: str = Field(default="", alias="basicAuthPassword", repr=False)
    is_auth_token: bool = Field(default=False, alias="isAuthToken")
    auth_token: str = Field(default="", alias="authToken", repr=False)
    skip_tls_verify: bool = Field(default=False, alias="skipTLSVerify")


@dataclass(frozen=True, slots=True)
class Oidc:
    """The OpenID Connect provider, and this server's registration at the provider.

    ``client_url`` is this server's public URL, without a trailing slash.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    client_url: str
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    whitelist: tuple[str, ...] = ()
    groups_claim: str = "groups"
    roles: tuple[tuple[str, str], ...] = ()
    """Groups of the provider, each with its role in the default workspace, or with ``workspace:role``."""
    default_role: str = "viewer"
    """The role of users whose groups have none in the default workspace; ``none``: no role there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a gateway. ``shared.settings.options.OPTIONS`` describes each."""

    auth_mode: Literal["none", "builtin", "oidc"] = "none"
    basic_username: str = ""
    basic_password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_secret: str = field(default="", repr=False)
    other_token_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Keys that verify login tokens and sign none."""
    token_ttl_s: int = 86_400
    admin_username: str = "admin"
    admin_password: str = field(default="", repr=False)
    oidc: Oidc | None = None
    trusted_proxies: int = 0
    """How many proxies in front of the gateway add to X-Forwarded-For."""
    outbound: OutboundPolicy = "any"
    secret_box: SecretBox = field(default_factory=SecretBox)
    """Seals the values of stored secrets, if it has a key."""
    write_dags: bool = True
    run_dags: bool = True
    metrics_public: bool = False
    require_if_match: bool = False
    remote_nodes: tuple[RemoteNode, ...] = ()
    browser: BrowserRules = field(default_factory=BrowserRules)
    """From where requests without a token or key are accepted."""
    ui_dir: Path | None = None
    dags_dir: Path | None = None
    data_dir: Path = Path()
    base_config: Path | None = None
    zone: tzinfo | None = None
    """The time zone of times in responses and pages. ``None``: the local time zone of the process."""
    navbar_title: str = "Dagu"
    navbar_color: str = ""
    log_charset: str = "utf-8"
    """The encoding of what steps print."""
    max_followers: int = MOST_FOLLOWERS
    """How many event streams may be open and how many requests may wait for the end of a run, together.

    Without greenlets, each occupies a thread: see ``held_threads``.
    """
    effective: tuple[EffectiveSetting, ...] = ()
    """The settings of this process, for administrators to read. It has no secrets."""

    @property
    def builtin(self) -> bool:
        return self.auth_mode == "builtin"

    @property
    def has_roles(self) -> bool:
        """Whether users can have different roles."""
        return self.auth_mode != "none"

    @property
    def has_sessions(self) -> bool:
        """Whether the web page logs in here, and not at an OpenID Connect provider."""
        return self.builtin or (self.auth_mode == "none" and self.auth_required)

    @property
    def basic(self) -> bool:
        return bool(self.basic_username and self.basic_password)

    @property
    def auth_required(self) -> bool:
        """Whether a request without credentials is refused (as in Dagu's REST API v2)."""
        return self.auth_mode != "none" or self.basic or bool(self.token)


def settings_from(config: "Config", command: Literal["api", "up"] = "api") -> Settings:
    """Return the settings of the gateway from the configuration. ``command``: the command that runs it.

    Raises:
        ConfigInvalid: DAGWAY_AUTH_TOKEN_SECRET is too short for mode builtin, one of the other secrets is too short,
            a setting of mode oidc or of Basic authentication is missing, a username has the mark of stored names,
            DAGWAY_REMOTE_NODES is invalid, or others can reach the gateway and nothing says that it needs no login.
    """
    _refuse_halves(config)
    _refuse_open_door(config)
    if config.auth_mode == "builtin" and len(config.auth_token_secret) < _MIN_SECRET_CHARS:
        raise ConfigInvalid(
            f"DAGWAY_AUTH_TOKEN_SECRET: mode builtin requires a secret of at least {_MIN_SECRET_CHARS} characters"
        )
    if any(len(secret) < _MIN_SECRET_CHARS for secret in config.auth_token_other_secrets):
        raise ConfigInvalid(
            f"DAGWAY_AUTH_TOKEN_OTHER_SECRETS: each secret must have at least {_MIN_SECRET_CHARS} characters"
        )
    for username in ("auth_admin_username", "auth_basic_username"):
        _refuse_mark(config, username)
    return Settings(
        auth_mode=config.auth_mode or "none",
        basic_username=config.auth_basic_username,
        basic_password=config.auth_basic_password,
        token=config.auth_token,
        token_secret=config.auth_token_secret,
        other_token_secrets=config.auth_token_other_secrets,
        token_ttl_s=config.auth_token_ttl_s,
        admin_username=config.auth_admin_username,
        admin_password=config.auth_admin_password,
        oidc=_oidc(config) if config.auth_mode == "oidc" else None,
        trusted_proxies=config.trusted_proxies,
        outbound=config.outbound,
        write_dags=config.write_dags,
        run_dags=config.run_dags,
        metrics_public=config.metrics == "public",
        require_if_match=config.require_if_match,
        remote_nodes=_remote_nodes(config.remote_nodes),
        browser=_browser_rules(config),
        ui_dir=config.ui_dir,
        dags_dir=config.dags_dir,
        data_dir=config.data_dir,
        base_config=config.base_config,
        zone=local_zone(config.tz),
        navbar_title=config.navbar_title,
        navbar_color=config.navbar_color,
        log_charset=config.log_charset,
        effective=effective_settings(config, command),
    )


def warn_if_open(settings: Settings, host: str) -> None:
    """Log a warning if anyone who can connect to ``host`` may run commands, as DAGWAY_AUTH_MODE=none allows."""
    if not settings.auth_required and not is_loopback(host):
        advice = "anyone who can connect to this address can run commands: set DAGWAY_AUTH_MODE or DAGWAY_AUTH_TOKEN"
        _log.warning("api.open_to_all", extra={"host": host, "next": advice})


def _refuse_halves(config: "Config") -> None:
    """Refuse a login method if only some of its settings are set: an empty password must not disable the login."""
    groups: list[tuple[str, ...]] = [("auth_basic_username", "auth_basic_password")]
    if not config.auth_mode:
        groups.append(("oidc_issuer", "oidc_client_id", "oidc_client_secret"))
    for group in groups:
        if any(getattr(config, field) for field in group):
            for field in group:
                config.need(field)


def _refuse_mark(config: "Config", field: str) -> None:
    option = next(option for option in OPTIONS if option.field == field)
    try:
        check_unmarked(getattr(config, field), option.env)
    except ForeignName as error:
        raise ConfigInvalid(str(error)) from error


def _refuse_open_door(config: "Config") -> None:
    """Refuse to listen for other machines without a login, unless the administrator has chosen that explicitly."""
    login = config.auth_mode or config.auth_token or config.auth_basic_password
    if not login and not is_loopback(config.host):
        raise ConfigInvalid(
            f"DAGWAY_HOST: the gateway would listen on {config.host} without a login, and everyone who can connect "
            "could run commands. Set DAGWAY_AUTH_MODE=builtin and DAGWAY_AUTH_TOKEN_SECRET, or only DAGWAY_AUTH_TOKEN, "
            "or listen on 127.0.0.1. If it is to be open to everyone, say so with DAGWAY_AUTH_MODE=none"
        )


def _browser_rules(config: "Config") -> BrowserRules:
    named = urlsplit(config.oidc_client_url).hostname if config.auth_mode == "oidc" else None
    hosts = {*config.allowed_hosts, config.host.lower(), *([named] if named else [])}
    return BrowserRules(hosts=frozenset(hosts), origins=frozenset(config.allowed_origins))


def _oidc(config: "Config") -> Oidc:
    for needed in ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_client_url"):
        config.need(needed)
    return Oidc(
        issuer=config.oidc_issuer,
        client_id=config.oidc_client_id,
        client_secret=config.oidc_client_secret,
        client_url=config.oidc_client_url,
        scopes=config.oidc_scopes,
        whitelist=config.oidc_whitelist,
        groups_claim=config.oidc_groups_claim,
        roles=config.oidc_roles,
        default_role=config.oidc_default_role,
    )


def _remote_nodes(text: str) -> tuple[RemoteNode, ...]:
    if not text:
        return ()
    try:
        return TypeAdapter(tuple[RemoteNode, ...]).validate_python(json.loads(text))
    except (ValueError, ValidationError) as error:
        why = error.errors(include_input=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigInvalid(
            f"DAGWAY_REMOTE_NODES: must be a JSON list of objects with name and apiBaseURL: {why}"
        ) from error
