"""Reads the settings that a user of Dagu has already: environment variables and the ``config.yaml`` of ``DAGU_HOME``.

Each becomes the text of a setting here, or is named with the reason why it has none. Dagu 1 writes keys as ``dagsDir``,
Dagu 2 as ``dags_dir``. Dagu's file is read only if ``DAGU_HOME`` is set: a Dagu that is installed on the same host must
not change what Dagway does.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.language.issues import Issues, TooManyIssues
from shared.language.yaml.reader import YamlList, YamlMap, read_yaml
from shared.settings.options import OPTIONS

__all__ = ["DaguSettings", "plain_key", "read_dagu_settings", "state_folder", "with_variables"]

_OLD_VARIABLES: Mapping[str, str] = {
    "DAGU_DAGS": "dags_dir",
    "DAGU_BASICAUTH_USERNAME": "auth_basic_username",
    "DAGU_BASICAUTH_PASSWORD": "auth_basic_password",
    "DAGU_AUTHTOKEN": "auth_token",
    "DAGU_NAVBAR_TITLE": "navbar_title",
    "DAGU_NAVBAR_COLOR": "navbar_color",
    "DAGU_LOG_ENCODING_CHARSET": "log_charset",
}
"""The settings here by variables with the names of earlier versions, which Dagu 1.30 still reads."""

_BY_VARIABLE = {**_OLD_VARIABLES, **{option.alias: option.field for option in OPTIONS if option.alias}}

_FILE_KEYS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "basepath": "base_path",
    "tz": "tz",
    "logformat": "log_format",
    "metrics": "metrics",
    "permissions.writedags": "write_dags",
    "permissions.rundags": "run_dags",
    "paths.dagsdir": "dags_dir",
    "paths.suspendflagsdir": "suspend_dir",
    "paths.baseconfig": "base_config",
    "ui.navbartitle": "navbar_title",
    "ui.navbarcolor": "navbar_color",
    "ui.logencodingcharset": "log_charset",
    "auth.mode": "auth_mode",
    "auth.basic.username": "auth_basic_username",
    "auth.basic.password": "auth_basic_password",
    "auth.token.value": "auth_token",
    "auth.builtin.admin.username": "auth_admin_username",
    "auth.builtin.admin.password": "auth_admin_password",
    "auth.builtin.initialadmin.username": "auth_admin_username",
    "auth.builtin.initialadmin.password": "auth_admin_password",
    "auth.builtin.token.secret": "auth_token_secret",
    "auth.builtin.token.ttl": "auth_token_ttl_s",
    "auth.oidc.issuer": "oidc_issuer",
    "auth.oidc.clientid": "oidc_client_id",
    "auth.oidc.clientsecret": "oidc_client_secret",
    "auth.oidc.clienturl": "oidc_client_url",
    "auth.oidc.scopes": "oidc_scopes",
    "auth.oidc.whitelist": "oidc_whitelist",
    "queues.config": "queues",
    "remotenodes": "remote_nodes",
    # The names of earlier versions, which Dagu 1.30 still reads.
    "dags": "dags_dir",
    "dagsdir": "dags_dir",
    "suspendflagsdir": "suspend_dir",
    "baseconfig": "base_config",
    "navbartitle": "navbar_title",
    "navbarcolor": "navbar_color",
    "logencodingcharset": "log_charset",
    "basicauthusername": "auth_basic_username",
    "basicauthpassword": "auth_basic_password",
    "authtoken": "auth_token",
    "permissionwritedags": "write_dags",
    "permissionrundags": "run_dags",
}
"""The settings here by the path of Dagu's key as ``plain_key`` returns it."""

_PATHS = frozenset({"dags_dir", "suspend_dir", "base_config"})
_LISTS_OF_MAPS = frozenset({"queues", "remote_nodes"})

_LOGINS: Mapping[str, frozenset[str]] = {
    "basic": frozenset({"auth_basic_username", "auth_basic_password"}),
    "token": frozenset({"auth_token"}),
}
"""Modes that Dagu 1.30 reads as ``none``, by the settings with which that still needs this login. Without, they are
refused here: whoever wrote the mode wants a login."""

_WITHOUT: Mapping[str, str] = {
    "data_dir": "state is in DAGWAY_DATA_DIR, and its files are not Dagu's",
    "log_dir": "logs of steps are in the database",
    "admin_log_dir": "logs go to standard error",
    "cert_file": "let a proxy end TLS",
    "key_file": "let a proxy end TLS",
    "default_shell": "set shell in the base configuration",
    "queue_enabled": "queues are always on",
    **dict.fromkeys(
        ("is_basic_auth", "is_basicauth"), "a login is needed if a username and a password are set, as in Dagu"
    ),
    **dict.fromkeys(("is_auth_token", "is_authtoken"), "a token is needed if one is set"),
    "debug": "set DAGWAY_LOG_LEVEL=debug",
    "headless": "set no DAGWAY_UI_DIR; the pages are always there",
}
"""Why some of Dagu's settings have no counterpart, by the end of the variable or of the key in snake case."""


@dataclass(frozen=True, slots=True)
class DaguSettings:
    """What was found.

    ``texts``: by field of ``Config``, the text of the setting and where it comes from. ``ignored``: a line for each of
    Dagu's settings that has no meaning here.
    """

    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def read_dagu_settings(environ: Mapping[str, str], read: Callable[[Path], str | None]) -> DaguSettings:
    """Return Dagu's settings. Variables win over the file, and the file over the folders that ``DAGU_HOME`` implies.

    ``read`` returns the text of a file, or ``None`` if it does not exist.

    Raises:
        ValueError: the file is not YAML with a map of settings, or a setting in it is not the list that it must be.
    """
    texts: dict[str, tuple[str, str]] = {}
    ignored: list[str] = []
    home = Path(environ["DAGU_HOME"]).expanduser() if environ.get("DAGU_HOME") else None
    if home is not None:
        for name, place in (("dags_dir", home / "dags"), ("base_config", home / "base.yaml")):
            if place.exists():
                texts[name] = str(place), "DAGU_HOME"
        texts["suspend_dir"] = str(state_folder(home) / "suspend"), "DAGU_HOME"
        path = home / "config.yaml"
        if (text := read(path)) is not None:
            for key, value in _leaves(_parsed(text, path)):
                source = f"{path.name}: {key}"
                known = _FILE_KEYS.get(plain_key(key))
                if known is None:
                    ignored.append(_nothing(source, _snake(key.rpartition(".")[2])))
                elif value not in (None, "", []):
                    if known in _LISTS_OF_MAPS and not _is_list_of_maps(value):
                        raise ValueError(f"{path}: {key}: must be a list of maps")
                    written = _text(known, value)
                    texts[known] = with_variables(written, environ) if known in _PATHS else written, source
    for variable in sorted(environ, key=lambda name: (name not in _OLD_VARIABLES, name)):
        if not variable.startswith("DAGU_") or variable == "DAGU_HOME" or not environ[variable]:
            continue
        known = _BY_VARIABLE.get(variable)
        # For a Service called "dagu" Kubernetes sets DAGU_PORT=tcp://10.0.0.1:8080.
        if known is None or (variable == "DAGU_PORT" and "://" in environ[variable]):
            ignored.append(_nothing(variable, variable.removeprefix("DAGU_").lower()))
        else:
            texts[known] = environ[variable], variable
    mode, source = texts.get("auth_mode", ("", ""))
    if mode in _LOGINS and _LOGINS[mode] <= texts.keys():
        # Not "none", which allows everybody in if a variable of ours, such as an empty one, wins over the credentials.
        del texts["auth_mode"]
        ignored.append(f"{source} has no meaning here: a login is needed if its credentials are set")
    return DaguSettings(texts, tuple(ignored))


def state_folder(home: Path) -> Path:
    """Return the folder with the data, logs and suspend flags of a Dagu whose configuration is in ``home``.

    That is ``home``, unless Dagu ran without ``DAGU_HOME``. Then it keeps its files as the XDG Base Directory
    Specification says: the configuration in ``~/.config/dagu``, and what it writes in ``~/.local/share/dagu``.
    """
    beside = home.parent.parent / ".local" / "share" / home.name
    is_xdg = home.parent.name == ".config" and not (home / "data").exists() and beside.is_dir()
    return beside if is_xdg else home


def with_variables(path: str, environ: Mapping[str, str]) -> str:
    """Return a path in Dagu's file with the values of its variables, as Dagu reads it: ``${DAGU_HOME}/dags``.

    A variable that is not set stays as written, so that the error about the path names it.
    """
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: environ.get(found[1] or found[2], found[0]), path)


def plain_key(key: str) -> str:
    """Return a key without case and underscores: Dagu ignores the case, and Dagu 2 added underscores."""
    return key.lower().replace("_", "")


def _nothing(source: str, name: str) -> str:
    why = _WITHOUT.get(name)
    return f"{source} has no meaning here{f': {why}' if why else ''}"


def _parsed(text: str, path: Path) -> YamlMap:
    issues, documents = Issues(), []
    with suppress(TooManyIssues):
        documents = read_yaml(text, issues)
    errors = [str(issue) for issue in issues.found if issue.severity == "error"]
    value = documents[0].value if documents else YamlMap((1, 1))
    if not errors and not isinstance(value, YamlMap):
        errors = ["must be a map of settings"]
    if errors:
        raise ValueError(f"{path}: {'; '.join(errors)}")
    found: YamlMap = value
    return found


def _leaves(value: YamlMap, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of the file: the path of each key, and its value."""
    for key, inner in value.items():
        path = f"{prefix}{key}"
        if isinstance(inner, YamlMap):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path, inner


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key).lstrip("_")


def _text(name: str, value: Any) -> str:
    """Return a value of the file as the text that the setting takes."""
    if name == "queues":
        limits = ((_get(each, "name"), _get(each, "maxConcurrency", "maxActiveRuns")) for each in value)
        return ",".join(f"{queue}={limit}" for queue, limit in limits)
    if name == "remote_nodes":
        return json.dumps([_remote_node(each) for each in value])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, YamlList):
        return ",".join(map(str, value))
    return str(value)


def _is_list_of_maps(value: Any) -> bool:
    return isinstance(value, YamlList) and all(isinstance(each, YamlMap) for each in value)


def _get(mapping: Any, *names: str) -> Any:
    wanted = {plain_key(name) for name in names}
    return next((mapping[key] for key in mapping if plain_key(key) in wanted), None)


_NODE_KEYS = {
    key.lower(): key
    for key in (
        "name", "apiBaseURL", "isBasicAuth", "basicAuthUsername", "basicAuthPassword", "isAuthToken", "authToken",
        "skipTLSVerify",
    )
}  # fmt: skip


_AUTH_TYPES = {"basic": "isBasicAuth", "token": "isAuthToken"}
"""Dagu 2 names the kind of login by ``auth_type``, Dagu 1 by a flag for each."""


def _remote_node(each: Any) -> dict[str, Any]:
    node = {_NODE_KEYS.get(plain_key(key), key): each[key] for key in each if plain_key(key) != "authtype"}
    flag = _AUTH_TYPES.get(str(_get(each, "authType")))
    return node | ({flag: True} if flag else {})
