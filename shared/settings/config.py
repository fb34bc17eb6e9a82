"""The configuration: one frozen, validated object per process.

Each setting can be a command line option (``--data-dir``) or an environment variable (``DAGWAY_DATA_DIR``). The option
wins. A secret can also be in a file that a variable names (``DAGWAY_AMQP_URL_FILE``). ``options`` lists all settings.
"""

import difflib
import os
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal

from shared.admission.workers import WORKER_POOL, worker_pool
from shared.contracts.signing_keys import PrivateKey, PublicKey, SharedKey
from shared.contracts.worker_pools import DEFAULT_WORKER_POOL
from shared.errors import ConfigInvalid
from shared.outbound import OutboundPolicy
from shared.settings.dagu import read_dagu_settings
from shared.settings.option import Option
from shared.settings.options import OPTIONS
from shared.settings.user_readers import StepUserRange

__all__ = ["OPTIONS", "Config", "SettingOrigin", "enter_time_zone", "environment", "load_config", "secret_variables"]

LogFormat = Literal["json", "text"]


_HOSTS_VARIABLES = re.compile(
    r"DAGWAY_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?|PORT)"
)
"""Names of the variables that Kubernetes sets in every pod for a Service whose name begins with ``dagway``."""


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """Where a setting comes from: an option, a variable or a setting of Dagu's. ``text`` is as it was given.

    The text of a secret is never kept.
    """

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Config:
    """Validated settings. ``OPTIONS`` describes each field."""

    data_dir: Path
    worker_id: str
    host: str = "127.0.0.1"
    port: int = 8080
    dags_dir: Path | None = None
    dags_write: Literal["", "folder", "database", "refuse"] = ""
    """Empty if not set: ``dagway up`` writes to the DAG folder, a scheduler does not."""
    suspend_dir: Path | None = None
    database_url: str = dataclass_field(default="", repr=False)
    database_statement_s: float = 15
    database_room_mib: int = 0
    amqp_url: str = dataclass_field(default="", repr=False)
    worker_slots: int = 100
    drain_s: int | None = None
    """``None`` if not set: the default differs from command to command."""
    run_files_days: int = 7
    run_files_failed: int = 1000
    run_files_mib: int | None = None
    """``None`` if not set: the default depends on the volume."""
    data_workers: int = 1
    data_size: int = 0
    """In bytes; 0 if the volume is as large as its file system."""
    step_user: StepUserRange | None = None
    worker_user: tuple[int, int] | None = None
    secret_files: tuple[Path, ...] = ()
    """The files that secrets were read from."""
    step_max_processes: int = 0
    step_max_memory: int = 0
    step_max_open_files: int = 0
    step_max_cpu_s: int = 0
    step_cgroup: str = ""
    step_total_memory: int = 0
    step_total_processes: int = 0
    step_cpus: float = 0
    worker_labels: tuple[tuple[str, str], ...] = ()
    worker_pool: str = DEFAULT_WORKER_POOL
    worker_seal_keys: tuple[SharedKey, ...] = ()
    secret_keys: tuple[SharedKey, ...] = ()
    secrets_dir: Path = Path("/run/secrets")
    secret_file_dirs: tuple[Path, ...] = ()
    """Empty if not set: then the provider ``file`` reads every file that the worker may read."""
    vault_addr: str = ""
    vault_token: str = dataclass_field(default="", repr=False)
    vault_role: str = ""
    vault_auth_path: str = "kubernetes"
    vault_jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    vault_namespace: str = ""
    vault_ca_file: Path | None = None
    message_signing: Literal["on", "off", "accept-unsigned"] = "on"
    command_keys: tuple[SharedKey, ...] = ()
    task_keys: tuple[PrivateKey, ...] = ()
    task_public_keys: tuple[PublicKey, ...] = ()
    report_keys: tuple[SharedKey, ...] = ()
    queues: tuple[tuple[str, int], ...] = ()
    pools: tuple[tuple[str, int], ...] = ()
    tz: str = ""
    lease_s: float = 10
    audit_days: int = 400
    history_days: int = 0
    trusted_proxies: int = 0
    outbound: OutboundPolicy = "any"
    verify_every_s: int = 0
    base_config: Path | None = None
    metrics_port: int = 0
    metrics_dags: int = 1000
    log_level: str = "info"
    log_format: LogFormat = "json"
    api_threads: int = 16
    command_wait_s: float = 0
    """0 if not set: 30 in ``dagway up``, which has only one process to wait for, else 5."""
    base_path: str = ""
    ui_dir: Path | None = None
    auth_mode: Literal["", "none", "builtin", "oidc"] = ""
    """Empty if not set, which means ``none``. ``load_config`` sets ``oidc`` if the provider's settings are complete."""
    auth_basic_username: str = ""
    auth_basic_password: str = dataclass_field(default="", repr=False)
    auth_token: str = dataclass_field(default="", repr=False)
    auth_token_secret: str = dataclass_field(default="", repr=False)
    auth_token_other_secrets: tuple[str, ...] = dataclass_field(default=(), repr=False)
    auth_token_ttl_s: int = 86_400
    auth_admin_username: str = "admin"
    auth_admin_password: str = dataclass_field(default="", repr=False)
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = dataclass_field(default="", repr=False)
    oidc_client_url: str = ""
    oidc_scopes: tuple[str, ...] = ("openid", "profile", "email")
    oidc_whitelist: tuple[str, ...] = ()
    oidc_groups_claim: str = "groups"
    oidc_roles: tuple[tuple[str, str], ...] = ()
    oidc_default_role: str = "viewer"
    write_dags: bool = True
    run_dags: bool = True
    metrics: Literal["private", "public"] = "private"
    require_if_match: bool = False
    remote_nodes: str = dataclass_field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    from_dagu: tuple[str, ...] = ()
    """A line for each setting of Dagu's that was found: what it became, or that it has no meaning here."""
    worker_pods: str = "app.kubernetes.io/name=dagway,app.kubernetes.io/component=worker"
    deletion_costs_every_s: float = 15
    service_account_dir: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    navbar_title: str = "Dagu"
    navbar_color: str = ""
    log_charset: str = "utf-8"
    url: str = ""
    profile: str = ""
    workspace: str = ""
    faults: str = ""
    origins: Mapping[str, SettingOrigin] = dataclass_field(default_factory=dict, repr=False, compare=False)
    """Where each setting comes from that is set, by its field."""

    def need(self, field: str) -> str:
        """Return the text setting ``field``. Raises ``ConfigInvalid`` if it is empty."""
        value = getattr(self, field)
        if not value:
            option = next(option for option in OPTIONS if option.field == field)
            raise ConfigInvalid(f"{option.env} (or {option.flag}) must be set: {option.help}")
        return str(value)

    def make_data_dir(self) -> None:
        """Create the data folder if it is missing, for its owner only.

        Raises ``ConfigInvalid`` if that fails or the folder is not writable.
        """
        try:
            self.data_dir.mkdir(0o700, parents=True, exist_ok=True)
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
    origins: dict[str, SettingOrigin] = {}
    try:
        dagu = read_dagu_settings(environ, _text_of)
    except (ValueError, OSError) as error:
        raise ConfigInvalid(f"DAGU_HOME: {error}") from error
    became = list(dagu.ignored)
    for option in OPTIONS:
        try:
            value, source = _given(option, given, environ)
        except ValueError as error:
            problems.append(f"{option.file_env}: {error}")
            continue
        if option.field in dagu.texts:
            theirs, named = dagu.texts[option.field]
            if value is None:
                value, source = theirs, named
                became.append(f"{named} is read as {option.env}")
            else:
                became.append(f"{named} is not used: {source} is set")
        if value is None or value == "":
            continue
        try:
            values[option.field] = option.read(str(value))
            origins[option.field] = SettingOrigin(source, "" if option.secret else str(value))
        except ValueError as error:
            problems.append(f"{source}: {error}")
    if problems:
        raise ConfigInvalid("; ".join(problems))
    # TZ is not validated, because other programs on the host use it too. If it names no zone, the host's zone applies.
    values.setdefault("tz", environ.get("TZ", "").removeprefix(":"))
    if all(values.get(field) for field in ("oidc_issuer", "oidc_client_id", "oidc_client_secret")):
        values.setdefault("auth_mode", "oidc")
    values.setdefault("data_dir", Path(".dagway").absolute())
    values.update(_worker_settings(values))
    values.setdefault("log_format", "text" if terminal else "json")
    files = tuple(Path(path) for option in OPTIONS if (path := environ.get(option.file_env)))
    return Config(**values, secret_files=files, from_dagu=tuple(became), origins=origins)


def _given(option: Option, given: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, str]:
    """Return the value of a setting, ``None`` if it is not set, and the option or variable that it comes from.

    Raises ``ValueError`` if its file has no value.
    """
    value, source = given.get(option.field), option.flag
    if value is None and not _from_kubernetes(option.env, environ.get(option.env, "")):
        value, source = environ.get(option.env), option.env
    if path := environ.get(option.file_env):
        return _secret_in(path, given=value or "", by=source), option.file_env
    return value, source


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _secret_in(path: str, *, given: str, by: str) -> str:
    """Return the text of a file without its last line break. Raises ``ValueError``, which never shows the text."""
    if given:
        raise ValueError(f"{by} is set too: unset one of them")
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _worker_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the worker's id and labels. Both name its worker pool, if it is not the default pool.

    The login of a pool has rights on the broker queues of workers whose id begins with the pool's name and a dash.
    """
    pool = values.get("worker_pool", DEFAULT_WORKER_POOL)
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()) or uuid.uuid4().hex
    worker_id = values.get("worker_id", f"{pool}-{host}"[:100])
    if pool != DEFAULT_WORKER_POOL and not worker_id.startswith(f"{pool}-"):
        raise ConfigInvalid(f"DAGWAY_WORKER_ID must begin with {pool}-, because DAGWAY_WORKER_POOL is {pool}")
    labels = dict(values.get("worker_labels", ()))
    if worker_pool(labels) not in (pool, DEFAULT_WORKER_POOL):
        raise ConfigInvalid(f"DAGWAY_WORKER_LABELS has the label {WORKER_POOL}: set DAGWAY_WORKER_POOL instead")
    if pool != DEFAULT_WORKER_POOL:
        labels[WORKER_POOL] = pool
    return {"worker_id": worker_id, "worker_labels": tuple(sorted(labels.items()))}


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = {option.env for option in OPTIONS} | {option.file_env for option in OPTIONS if option.secret}
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


def environment() -> Mapping[str, str]:
    """Return the process environment. Other modules read settings through this function only."""
    return os.environ


def enter_time_zone(config: Config) -> None:
    """Give this process and its steps the time zone that is set, as Dagu does: ``date +%F`` is the day of schedules."""
    if "tz" in config.origins:
        os.environ["TZ"] = config.tz
        time.tzset()


def secret_variables() -> frozenset[str]:
    """Return the names of all variables whose value is a secret, including Dagu's."""
    return frozenset(name for option in OPTIONS if option.secret for name in (option.env, option.alias) if name)
