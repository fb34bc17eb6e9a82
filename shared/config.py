"""The configuration: one frozen, validated object per process.

An option and its environment variable are one thing spelled twice (``--data-dir`` and
``DAGWAY_DATA_DIR``); the option wins. This table is the only list of them: the command line, the
check for unknown variables and the docs are made from it.
"""

import difflib
import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.errors import ConfigInvalid

__all__ = ["OPTIONS", "Config", "Option", "load_config"]

LogFormat = Literal["json", "text"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``field`` is its name in ``Config``; ``help`` says unit and default."""

    field: str
    env: str
    flag: str
    help: str


OPTIONS = (
    Option("host", "DAGWAY_HOST", "--host", "address the gateway listens on (127.0.0.1)"),
    Option("port", "DAGWAY_PORT", "--port", "port the gateway listens on (8080); 0 takes a free one"),
    Option("data_dir", "DAGWAY_DATA_DIR", "--data-dir", "folder for local state: database, journal, logs, work files"),
    Option("dags_dir", "DAGWAY_DAGS_DIR", "--dags", "folder of YAML files to load at start and to follow"),
    Option("database_url", "DAGWAY_DATABASE_URL", "--database-url", "postgresql://… or sqlite:///…"),
    Option("amqp_url", "DAGWAY_AMQP_URL", "--amqp-url", "amqp://… or amqps://…"),
    Option("worker_slots", "DAGWAY_WORKER_SLOTS", "--slots", "attempts a worker runs at once (100)"),
    Option("worker_labels", "DAGWAY_WORKER_LABELS", "--labels", "what this worker offers: gpu=true,region=eu"),
    Option("worker_id", "DAGWAY_WORKER_ID", "--worker-id", "name of this worker, stable over restarts (host name)"),
    Option("lease_s", "DAGWAY_LEASE_S", "--lease", "seconds a silent worker is believed to be alive (10)"),
    Option("metrics_port", "DAGWAY_METRICS_PORT", "--metrics-port", "port for /metrics, /healthz, /readyz; 0: none (0)"),
    Option("log_level", "DAGWAY_LOG_LEVEL", "--log-level", "debug, info, warning or error (info)"),
    Option("log_format", "DAGWAY_LOG_FORMAT", "--log-format", "json or text (text on a terminal, else json)"),
    Option("api_threads", "DAGWAY_API_THREADS", "--threads", "requests a gateway serves at once (16)"),
    Option("faults", "DAGWAY_FAULTS", "--faults", "for tests: where the process shall kill itself (nowhere)"),
)

_HOSTS_VARIABLES = re.compile(
    r"DAGWAY_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?|PORT)"
)
"""What Kubernetes puts into every pod beside a Service whose name begins with ``dagway``."""
_LABEL = re.compile(r"[A-Za-z0-9_./-]{1,63}")
_WORKER_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Config:
    """Validated settings; see ``OPTIONS`` for what each means."""

    data_dir: Path
    worker_id: str
    host: str = "127.0.0.1"
    port: int = 8080
    dags_dir: Path | None = None
    database_url: str = ""
    amqp_url: str = ""
    worker_slots: int = 100
    worker_labels: tuple[tuple[str, str], ...] = ()
    lease_s: float = 10
    metrics_port: int = 0
    log_level: str = "info"
    log_format: LogFormat = "json"
    api_threads: int = 16
    faults: str = ""

    def need(self, field: str) -> str:
        """Return a text setting this process cannot do without. Raises ``ConfigInvalid``."""
        value = getattr(self, field)
        if not value:
            option = next(option for option in OPTIONS if option.field == field)
            raise ConfigInvalid(f"{option.env} (or {option.flag}) must be set: {option.help}")
        return str(value)


def load_config(given: Mapping[str, Any], environ: Mapping[str, str], *, terminal: bool = False) -> Config:
    """Return the configuration of this process.

    ``given`` holds command line options by field name, ``None`` where not given.

    Raises:
        ConfigInvalid: naming every setting that is wrong, and unknown ``DAGWAY_*`` variables with
            the one that was probably meant.
    """
    problems = _unknown(environ)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = given.get(option.field)
        source = option.flag
        if value is None and not _from_kubernetes(option.env, environ.get(option.env, "")):
            value, source = environ.get(option.env), option.env
        if value is None or value == "":
            continue
        try:
            values[option.field] = _READ[option.field](str(value))
        except ValueError as error:
            problems.append(f"{source}: {error}")
    if problems:
        raise ConfigInvalid("; ".join(problems))
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
        problems.append(f"{name} is not a setting" + (f" (did you mean {close[0]}?)" if close else ""))
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
    if not 0.5 <= value <= 3600:  # noqa: PLR2004 - the message says what the numbers are
        raise ValueError(f"{text!r} is not a number of seconds from 0.5 to 3600")
    return value


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    labels: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, mark, value = item.partition("=")
        if not mark or not _LABEL.fullmatch(key.strip()) or not _LABEL.fullmatch(value.strip()):
            raise ValueError(f"{item!r} is not key=value")
        labels[key.strip()] = value.strip()
    return tuple(sorted(labels.items()))


def _one_of(*allowed: str) -> Any:
    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text.lower()

    return read


def _worker_id(text: str) -> str:
    if not _WORKER_ID.fullmatch(text):
        raise ValueError(f"{text!r} must be 1 to 100 letters, digits, dashes, dots or underscores")
    return text


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _existing_folder(text: str) -> Path:
    path = _folder(text)
    if not path.is_dir():
        raise ValueError(f"{text!r} is not a folder")
    return path


_READ: dict[str, Any] = {
    "host": str,
    "port": _integer(0, 65535),
    "data_dir": _folder,
    "dags_dir": _existing_folder,
    "database_url": str,
    "amqp_url": str,
    "worker_slots": _integer(1, 10_000),
    "worker_labels": _labels,
    "worker_id": _worker_id,
    "lease_s": _seconds,
    "metrics_port": _integer(0, 65535),
    "log_level": _one_of(*_LEVELS),
    "log_format": _one_of("json", "text"),
    "api_threads": _integer(1, 1000),
    "faults": str,
}


def environment() -> Mapping[str, str]:
    """Return the process environment; nobody else reads it for settings."""
    return os.environ
