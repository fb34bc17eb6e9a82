"""All settings: field of ``Config``, environment variable, command line option, reader, commands and meaning.

The command line, the check for unknown variables and docs/configuration.md are made from this table.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from shared.setting_readers import (
    base_path,
    duration_s,
    existing_file,
    existing_folder,
    folder,
    front_end_folder,
    labels,
    limits,
    one_of,
    seconds,
    server_url,
    true_or_false,
    url,
    whole_number,
    words,
    worker_id,
    worker_pool,
    zone_name,
)

__all__ = ["OPTIONS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``field`` is its name in ``Config``. ``help`` states the unit, and the default in parentheses."""

    field: str
    env: str
    read: Callable[[str], Any]
    """Returns the value that a text means; raises ``ValueError``."""
    services: AbstractSet[str]
    """The commands that run a service and take this option; all of them read the variable."""
    help: str
    flag_name: str = ""
    """Its command line option, if that is not named as the variable."""
    has_alias: bool = False
    """Whether Dagu has the setting too: then Dagu's variable is read where ``env`` is not set."""

    @property
    def flag(self) -> str:
        """The command line option."""
        return self.flag_name or f"--{self.env.removeprefix('DAGWAY_').lower().replace('_', '-')}"

    @property
    def alias(self) -> str:
        """Dagu's variable, empty if it has none."""
        return f"DAGU_{self.env.removeprefix('DAGWAY_')}" if self.has_alias else ""


_GATEWAY = frozenset({"up", "api"})
_SCHEDULER = frozenset({"up", "scheduler"})
_WORKER = frozenset({"up", "worker"})
_ALL = _GATEWAY | _SCHEDULER | _WORKER

OPTIONS = (
    Option("host", "DAGWAY_HOST", str, _ALL, "address the gateway listens on (127.0.0.1)"),
    Option(
        "port", "DAGWAY_PORT", whole_number(0, 65535), _GATEWAY, "port the gateway listens on; 0: any free port (8080)"
    ),
    Option(
        "data_dir",
        "DAGWAY_DATA_DIR",
        folder,
        _ALL,
        "folder for local state: database, journal, logs and work files (.dagway)",
    ),
    Option(
        "dags_dir",
        "DAGWAY_DAGS_DIR",
        existing_folder,
        _SCHEDULER | _WORKER,
        "folder of DAG files: a scheduler loads them and follows changes; a worker runs steps in their folders (none)",
        flag_name="--dags",
    ),
    Option(
        "database_url",
        "DAGWAY_DATABASE_URL",
        str,
        _GATEWAY | _SCHEDULER,
        "database: postgresql://user:password@host/name or sqlite:///path",
    ),
    Option(
        "amqp_url",
        "DAGWAY_AMQP_URL",
        str,
        _ALL,
        "RabbitMQ: amqp://user:password@host:5672/vhost, amqps:// for TLS, or host1,host2,host3 for a cluster",
    ),
    Option(
        "worker_slots",
        "DAGWAY_WORKER_SLOTS",
        whole_number(1, 10_000),
        _WORKER,
        "how many attempts the worker runs at the same time (100)",
        flag_name="--slots",
    ),
    Option(
        "worker_labels",
        "DAGWAY_WORKER_LABELS",
        labels,
        _WORKER,
        "labels of the worker, which worker selectors refer to: gpu=true,region=eu (none)",
        flag_name="--labels",
    ),
    Option(
        "worker_id",
        "DAGWAY_WORKER_ID",
        worker_id,
        _WORKER,
        "unique name of the worker, the same after a restart; begins with the name of its pool and a dash (POOL-HOST)",
    ),
    Option(
        "worker_pool",
        "DAGWAY_WORKER_POOL",
        worker_pool,
        frozenset({"worker"}),
        "worker pool: workers that share a login at the broker; steps choose it by the label worker-pool (default)",
        flag_name="--pool",
    ),
    Option(
        "queues",
        "DAGWAY_QUEUES",
        limits,
        _SCHEDULER,
        "global queues, each with its limit of active runs: heavy=2,light=10 (none)",
    ),
    Option(
        "pools",
        "DAGWAY_POOLS",
        limits,
        _SCHEDULER,
        "pools, each with its limit of running steps: gpu=2,db=10 (none)",
    ),
    Option(
        "tz",
        "DAGWAY_TZ",
        zone_name,
        _GATEWAY | _SCHEDULER,
        "time zone of displayed times, and of schedules that set none (variable TZ, else the host's time zone)",
        has_alias=True,
    ),
    Option(
        "base_config",
        "DAGWAY_BASE_CONFIG",
        existing_file,
        _SCHEDULER,
        "YAML file whose fields are the defaults of every DAG (none)",
    ),
    Option(
        "lease_s",
        "DAGWAY_LEASE_S",
        seconds,
        _SCHEDULER | _WORKER,
        "seconds without a heartbeat after which a worker's attempts count as lost (10)",
        flag_name="--lease",
    ),
    Option(
        "metrics_port",
        "DAGWAY_METRICS_PORT",
        whole_number(0, 65535),
        _ALL,
        "port of the admin server: /metrics, /healthz and /readyz; 0: none (0)",
    ),
    Option(
        "metrics_dags",
        "DAGWAY_METRICS_DAGS",
        whole_number(0, 100_000),
        _ALL,
        "how many DAGs get their own metric series; the others share the label other (200)",
    ),
    Option(
        "log_level",
        "DAGWAY_LOG_LEVEL",
        one_of("debug", "info", "warning", "error"),
        _ALL,
        "lowest level that is logged: debug, info, warning or error (info)",
    ),
    Option(
        "log_format",
        "DAGWAY_LOG_FORMAT",
        one_of("json", "text"),
        _ALL,
        "format of log lines: json or text (text on a terminal, else json)",
    ),
    Option(
        "api_threads",
        "DAGWAY_API_THREADS",
        whole_number(1, 1000),
        _GATEWAY,
        "how many requests the gateway handles at the same time (16)",
        flag_name="--threads",
    ),
    Option(
        "base_path",
        "DAGWAY_BASE_PATH",
        base_path,
        _GATEWAY,
        "prefix of all URL paths, such as /dagway (none)",
        has_alias=True,
    ),
    Option(
        "ui_dir",
        "DAGWAY_UI_DIR",
        front_end_folder,
        _GATEWAY,
        "folder with the bundle.js of a front end to serve instead of the built-in pages (none)",
    ),
    Option(
        "auth_mode",
        "DAGWAY_AUTH_MODE",
        one_of("none", "builtin", "oidc"),
        _GATEWAY,
        "how users log in: none, builtin or oidc (oidc if issuer, client id and client secret are set, else none)",
        has_alias=True,
    ),
    Option(
        "auth_basic_username",
        "DAGWAY_AUTH_BASIC_USERNAME",
        str,
        _GATEWAY,
        "username for HTTP Basic authentication; set the password too (none)",
        has_alias=True,
    ),
    Option(
        "auth_basic_password",
        "DAGWAY_AUTH_BASIC_PASSWORD",
        str,
        _GATEWAY,
        "password for HTTP Basic authentication; use the environment variable: all users of the host see options",
        has_alias=True,
    ),
    Option(
        "auth_token",
        "DAGWAY_AUTH_TOKEN",
        str,
        _GATEWAY,
        "Bearer token that gives a request the role admin (none)",
        has_alias=True,
    ),
    Option(
        "auth_token_secret",
        "DAGWAY_AUTH_TOKEN_SECRET",
        str,
        _GATEWAY,
        "key that signs login tokens: at least 32 characters, the same for all gateways; auth mode builtin requires it",
        has_alias=True,
    ),
    Option(
        "auth_token_ttl_s",
        "DAGWAY_AUTH_TOKEN_TTL",
        duration_s,
        _GATEWAY,
        "how long a login is valid: 24h, 90m or 3600s (24h)",
        has_alias=True,
    ),
    Option(
        "auth_admin_username",
        "DAGWAY_AUTH_ADMIN_USERNAME",
        str,
        _GATEWAY,
        "name of the first user, which is created if there are no users (admin)",
        has_alias=True,
    ),
    Option(
        "auth_admin_password",
        "DAGWAY_AUTH_ADMIN_PASSWORD",
        str,
        _GATEWAY,
        "password of the first user (random, printed once to standard output)",
        has_alias=True,
    ),
    Option(
        "oidc_issuer",
        "DAGWAY_AUTH_OIDC_ISSUER",
        url,
        _GATEWAY,
        "issuer URL of the OpenID Connect provider, exactly as the provider publishes it",
        has_alias=True,
    ),
    Option(
        "oidc_client_id",
        "DAGWAY_AUTH_OIDC_CLIENT_ID",
        str,
        _GATEWAY,
        "client id that the provider gave this application",
        has_alias=True,
    ),
    Option(
        "oidc_client_secret",
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        str,
        _GATEWAY,
        "secret that belongs to the client id; use the environment variable: all users of the host see options",
        has_alias=True,
    ),
    Option(
        "oidc_client_url",
        "DAGWAY_AUTH_OIDC_CLIENT_URL",
        server_url,
        _GATEWAY,
        "URL at which browsers reach this server; register <URL>/oidc-callback with the provider as redirect URI",
        has_alias=True,
    ),
    Option(
        "oidc_scopes",
        "DAGWAY_AUTH_OIDC_SCOPES",
        words,
        _GATEWAY,
        "OpenID Connect scopes to request (openid,profile,email)",
        has_alias=True,
    ),
    Option(
        "oidc_whitelist",
        "DAGWAY_AUTH_OIDC_WHITELIST",
        words,
        _GATEWAY,
        "email addresses that may log in, separated by commas (everyone whom the provider authenticates)",
        has_alias=True,
    ),
    Option(
        "write_dags",
        "DAGWAY_PERMISSIONS_WRITE_DAGS",
        true_or_false,
        _GATEWAY,
        "whether the API may change DAGs (true)",
        flag_name="--write-dags",
        has_alias=True,
    ),
    Option(
        "run_dags",
        "DAGWAY_PERMISSIONS_RUN_DAGS",
        true_or_false,
        _GATEWAY,
        "whether the API may start and change runs (true)",
        flag_name="--run-dags",
        has_alias=True,
    ),
    Option(
        "metrics",
        "DAGWAY_METRICS",
        one_of("private", "public"),
        _GATEWAY,
        "who may read /metrics of the API: public (everyone) or private (logged-in users) (private)",
    ),
    Option(
        "require_if_match",
        "DAGWAY_REQUIRE_IF_MATCH",
        true_or_false,
        _GATEWAY,
        "whether a change of a spec without an If-Match header is refused, with status 428 (false)",
    ),
    Option(
        "remote_nodes",
        "DAGWAY_REMOTE_NODES",
        str,
        _GATEWAY,
        "other servers that the front end can show: a JSON list of maps with name, apiBaseURL and credentials (none)",
    ),
    Option("navbar_title", "DAGWAY_NAVBAR_TITLE", str, _GATEWAY, "title in the front end's navigation bar (Dagu)"),
    Option("navbar_color", "DAGWAY_NAVBAR_COLOR", str, _GATEWAY, "colour of the front end's navigation bar (none)"),
    Option("faults", "DAGWAY_FAULTS", str, _ALL, "for tests only: points at which the process kills itself (none)"),
)
