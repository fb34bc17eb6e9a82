"""The configuration: one frozen, validated object per process.

Each setting can be a command line option (``--data-dir``) or an environment variable (``DAGWAY_DATA_DIR``). The option
wins. ``shared.options`` lists all settings.
"""

import difflib
import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from shared.errors import ConfigInvalid
from shared.options import OPTIONS

__all__ = ["OPTIONS", "Config", "load_config"]

LogFormat = Literal["json", "text"]


_HOSTS_VARIABLES = re.compile(
    r"DAGWAY_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?|PORT)"
)
"""Names of the variables that Kubernetes sets in every pod for a Service whose name begins with ``dagway``."""
_LABEL = re.compile(r"[A-Za-z0-9_./-]{1,63}")
_WORKER_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Config:
    """Validated settings. ``OPTIONS`` describes each field."""

    data_dir: Path
    worker_id: str
    host: str = "127.0.0.1"
    port: int = 8080
    dags_dir: Path | None = None
    database_url: str = ""
    amqp_url: str = ""
    worker_slots: int = 100
    worker_labels: tuple[tuple[str, str], ...] = ()
    queues: tuple[tuple[str, int], ...] = ()
    pools: tuple[tuple[str, int], ...] = ()
    tz: str = ""
    lease_s: float = 10
    base_config: Path | None = None
    metrics_port: int = 0
    metrics_dags: int = 200
    log_level: str = "info"
    log_format: LogFormat = "json"
    api_threads: int = 16
    base_path: str = ""
    ui_dir: Path | None = None
    auth_mode: Literal["", "none", "builtin", "oidc"] = ""
    """Empty if not set, which means ``none``. ``load_config`` sets ``oidc`` if the provider's settings are complete."""
    auth_basic_username: str = ""
    auth_basic_password: str = dataclass_field(default="", repr=False)
    auth_token: str = dataclass_field(default="", repr=False)
    auth_token_secret: str = dataclass_field(default="", repr=False)
    auth_token_ttl_s: int = 86_400
    auth_admin_username: str = "admin"
    auth_admin_password: str = dataclass_field(default="", repr=False)
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = dataclass_field(default="", repr=False)
    oidc_client_url: str = ""
    oidc_scopes: tuple[str, ...] = ("openid", "profile", "email")
    oidc_whitelist: tuple[str, ...] = ()
    write_dags: bool = True
    run_dags: bool = True
    metrics: Literal["private", "public"] = "private"
    require_if_match: bool = False
    remote_nodes: str = dataclass_field(default="", repr=False)
    navbar_title: str = "Dagu"
    navbar_color: str = ""
    faults: str = ""

    def need(self, field: str) -> str:
        """Return the text setting ``field``. Raises ``ConfigInvalid`` if it is empty."""
        value = getattr(self, field)
        if not value:
            option = next(option for option in OPTIONS if option.field == field)
            raise ConfigInvalid(f"{option.env} (or {option.flag}) must be set: {option.help}")
        return str(value)

    def make_data_dir(self) -> None:
        """Create the data folder if it is missing. Raises ``ConfigInvalid`` if that fails or it is not writable."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigInvalid(
                f"DAGWAY_DATA_DIR: cannot create the folder {self.data_dir}: {error.strerror}"
            ) from error
        if not os.access(self.data_dir, os.W_OK):
            raise ConfigInvalid(f"DAGWAY_DATA_DIR: no permission to write to the folder {self.data_dir}")


def load_config(given: Mapping[str, Any], environ: Mapping[str, str], *, terminal: bool = False) -> Config:
    """Return the configuration of this process: command line options first, then environment, then defaults.

    ``given`` maps the field of each option to its value, or to ``None`` if it is not on the command line.
    ``terminal``: logs go to a terminal, so their default format is text.

    Raises:
        ConfigInvalid: some settings are invalid, or some ``DAGWAY_*`` variables are unknown. The text lists them all.
    """
    problems = _unknown(environ)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = given.get(option.field)
        source = option.flag
        if value is None and not _from_kubernetes(option.env, environ.get(option.env, "")):
            value, source = environ.get(option.env), option.env
        if value is None and option.alias:
            value, source = environ.get(option.alias), option.alias
        if value is None or value == "":
            continue
        try:
            values[option.field] = _READ[option.field](str(value))
        except ValueError as error:
            problems.append(f"{source}: {error}")
    if problems:
        raise ConfigInvalid("; ".join(problems))
    # TZ is not validated, because other programs on the host use it too. If it names no zone, the host's zone applies.
    values.setdefault("tz", environ.get("TZ", "").removeprefix(":"))
    if all(values.get(field) for field in ("oidc_issuer", "oidc_client_id", "oidc_client_secret")):
        values.setdefault("auth_mode", "oidc")
    values.setdefault("data_dir", Path(".dagway").absolute())
    values.setdefault("worker_id", re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:100] or uuid.uuid4().hex)
    values.setdefault("log_format", "text" if terminal else "json")
    return Config(**values)


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = {option.env for option in OPTIONS}
    problems = []
    for name in sorted(environ):
        if not name.startswith("DAGWAY_") or name in known or _from_kubernetes(name, environ[name]):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        problems.append(f"{name} is not a setting" + (f" (did you mean {close[0]}?)" if close else ": unset it"))
    return problems


def _from_kubernetes(name: str, value: str) -> bool:
    if not _HOSTS_VARIABLES.fullmatch(name):
        return False
    # A Service called "dagway" makes DAGWAY_PORT=tcp://10.0.0.1:8080, which is not our DAGWAY_PORT.
    return "://" in value if name == "DAGWAY_PORT" else name != "DAGWAY_METRICS_PORT" or "://" in value


def _integer(low: int, high: int) -> Any:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.5 <= value <= 3600:
        raise ValueError(f"{text!r} is not a number of seconds from 0.5 to 3600")
    return value


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    labels: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, mark, value = item.partition("=")
        if not mark or not _LABEL.fullmatch(key.strip()) or not _LABEL.fullmatch(value.strip()):
            raise ValueError(
                f"{item!r} is not a label: expected key=value, with key and value of 1 to 63 letters, digits or _ . / -"
            )
        labels[key.strip()] = value.strip()
    return tuple(sorted(labels.items()))


def _limits(text: str) -> tuple[tuple[str, int], ...]:
    limits: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, limit = item.rpartition("=")
        if not _LABEL.fullmatch(name.strip()) or not re.fullmatch(r"\s*[1-9]\d{0,5}\s*", limit):
            raise ValueError(
                f"{item!r} is not a limit: expected name=limit, with a name of 1 to 63 letters, digits or _ . / - "
                "and a limit from 1 to 999999"
            )
        limits[name.strip()] = int(limit)
    return tuple(sorted(limits.items()))


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{text!r} is not a time zone such as Europe/Berlin") from error


def _one_of(*allowed: str) -> Any:
    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text.lower()

    return read


def _worker_id(text: str) -> str:
    if not _WORKER_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not a worker id: expected 1 to 100 letters, digits or _ . -")
    return text


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _existing_file(text: str) -> Path:
    path = _folder(text)
    if not path.is_file():
        raise ValueError(f"{text!r} is not an existing file")
    return path


def _existing_folder(text: str) -> Path:
    path = _folder(text)
    if not path.is_dir():
        raise ValueError(f"{text!r} is not an existing folder")
    return path


def _bundle(text: str) -> Path:
    path = _existing_folder(text)
    if not any((path / name).is_file() for name in ("bundle.js", "assets/bundle.js")):
        raise ValueError(f"the folder {text!r} contains neither bundle.js nor assets/bundle.js")
    return path


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() in {"true", "1", "yes"}


def _duration(text: str) -> int:
    found = re.fullmatch(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not 60 <= total <= 10_000_000:
        raise ValueError(f"{text!r} is not a duration from 1m to 10000000s, such as 24h, 90m or 3600s")
    return total


def _base_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9_.~-]+)+", path):
        raise ValueError(f"{text!r} is not a path such as /dagway")
    return path


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", text):
        raise ValueError(f"{text!r} is not a URL such as https://login.example.org")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))


_READ: dict[str, Any] = {
    "base_path": _base_path,
    "ui_dir": _bundle,
    "auth_mode": _one_of("none", "builtin", "oidc"),
    "auth_basic_username": str,
    "auth_basic_password": str,
    "auth_token": str,
    "auth_token_secret": str,
    "auth_token_ttl_s": _duration,
    "auth_admin_username": str,
    "auth_admin_password": str,
    "oidc_issuer": _address,
    "oidc_client_id": str,
    "oidc_client_secret": str,
    "oidc_client_url": lambda text: _address(text).rstrip("/"),
    "oidc_scopes": _words,
    "oidc_whitelist": _words,
    "write_dags": _flag,
    "run_dags": _flag,
    "metrics": _one_of("private", "public"),
    "require_if_match": _flag,
    "remote_nodes": str,
    "navbar_title": str,
    "navbar_color": str,
    "host": str,
    "port": _integer(0, 65535),
    "data_dir": _folder,
    "dags_dir": _existing_folder,
    "database_url": str,
    "amqp_url": str,
    "worker_slots": _integer(1, 10_000),
    "worker_labels": _labels,
    "worker_id": _worker_id,
    "queues": _limits,
    "pools": _limits,
    "tz": _zone,
    "lease_s": _seconds,
    "base_config": _existing_file,
    "metrics_port": _integer(0, 65535),
    "metrics_dags": _integer(0, 100_000),
    "log_level": _one_of(*_LEVELS),
    "log_format": _one_of("json", "text"),
    "api_threads": _integer(1, 1000),
    "faults": str,
}


def environment() -> Mapping[str, str]:
    """Return the process environment. Other modules read settings through this function only."""
    return os.environ
