"""All settings: field of ``Config``, environment variable, command line option and meaning.

The command line, the check for unknown variables and docs/configuration.md are made from this table.
"""

from dataclasses import dataclass

__all__ = ["OPTIONS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``field`` is its name in ``Config``. ``help`` states the unit, and the default in parentheses."""

    field: str
    env: str
    flag: str
    help: str
    alias: str = ""
    """Dagu's environment variable for the same setting. It is read if ``env`` and ``flag`` are not set."""


OPTIONS = (
    Option("host", "DAGWAY_HOST", "--host", "address the gateway listens on (127.0.0.1)"),
    Option("port", "DAGWAY_PORT", "--port", "port the gateway listens on; 0: any free port (8080)"),
    Option(
        "data_dir",
        "DAGWAY_DATA_DIR",
        "--data-dir",
        "folder for local state: database, journal, logs and work files (.dagway)",
    ),
    Option(
        "dags_dir",
        "DAGWAY_DAGS_DIR",
        "--dags",
        "folder of DAG files: a scheduler loads them and follows changes; a worker runs steps in their folders (none)",
    ),
    Option(
        "database_url",
        "DAGWAY_DATABASE_URL",
        "--database-url",
        "database: postgresql://user:password@host/name or sqlite:///path",
    ),
    Option(
        "amqp_url",
        "DAGWAY_AMQP_URL",
        "--amqp-url",
        "RabbitMQ: amqp://user:password@host:5672/vhost, or amqps:// for TLS",
    ),
    Option(
        "worker_slots", "DAGWAY_WORKER_SLOTS", "--slots", "how many attempts the worker runs at the same time (100)"
    ),
    Option(
        "worker_labels",
        "DAGWAY_WORKER_LABELS",
        "--labels",
        "labels of the worker, which worker selectors refer to: gpu=true,region=eu (none)",
    ),
    Option(
        "worker_id",
        "DAGWAY_WORKER_ID",
        "--worker-id",
        "unique name of the worker, the same after a restart (host name)",
    ),
    Option(
        "queues",
        "DAGWAY_QUEUES",
        "--queues",
        "global queues, each with its limit of active runs: heavy=2,light=10 (none)",
    ),
    Option("pools", "DAGWAY_POOLS", "--pools", "pools, each with its limit of running steps: gpu=2,db=10 (none)"),
    Option(
        "tz",
        "DAGWAY_TZ",
        "--tz",
        "time zone of displayed times, and of schedules that set none (variable TZ, else the host's time zone)",
        "DAGU_TZ",
    ),
    Option(
        "base_config",
        "DAGWAY_BASE_CONFIG",
        "--base-config",
        "YAML file whose fields are the defaults of every DAG (none)",
    ),
    Option(
        "lease_s",
        "DAGWAY_LEASE_S",
        "--lease",
        "seconds without a heartbeat after which a worker's attempts count as lost (10)",
    ),
    Option(
        "metrics_port",
        "DAGWAY_METRICS_PORT",
        "--metrics-port",
        "port of the admin server: /metrics, /healthz and /readyz; 0: none (0)",
    ),
    Option(
        "metrics_dags",
        "DAGWAY_METRICS_DAGS",
        "--metrics-dags",
        "how many DAGs get their own metric series; the others share the label other (200)",
    ),
    Option(
        "log_level",
        "DAGWAY_LOG_LEVEL",
        "--log-level",
        "lowest level that is logged: debug, info, warning or error (info)",
    ),
    Option(
        "log_format",
        "DAGWAY_LOG_FORMAT",
        "--log-format",
        "format of log lines: json or text (text on a terminal, else json)",
    ),
    Option(
        "api_threads", "DAGWAY_API_THREADS", "--threads", "how many requests the gateway handles at the same time (16)"
    ),
    Option(
        "base_path",
        "DAGWAY_BASE_PATH",
        "--base-path",
        "prefix of all URL paths, such as /dagway (none)",
        "DAGU_BASE_PATH",
    ),
    Option(
        "ui_dir",
        "DAGWAY_UI_DIR",
        "--ui-dir",
        "folder with the bundle.js of a front end to serve instead of the built-in pages (none)",
    ),
    Option(
        "auth_mode",
        "DAGWAY_AUTH_MODE",
        "--auth-mode",
        "how users log in: none, builtin or oidc (oidc if issuer, client id and client secret are set, else none)",
        "DAGU_AUTH_MODE",
    ),
    Option(
        "auth_basic_username",
        "DAGWAY_AUTH_BASIC_USERNAME",
        "--auth-basic-username",
        "username for HTTP Basic authentication; set the password too (none)",
        "DAGU_AUTH_BASIC_USERNAME",
    ),
    Option(
        "auth_basic_password",
        "DAGWAY_AUTH_BASIC_PASSWORD",
        "--auth-basic-password",
        "password for HTTP Basic authentication; use the environment variable: all users of the host see options",
        "DAGU_AUTH_BASIC_PASSWORD",
    ),
    Option(
        "auth_token",
        "DAGWAY_AUTH_TOKEN",
        "--auth-token",
        "Bearer token that gives a request the role admin (none)",
        "DAGU_AUTH_TOKEN",
    ),
    Option(
        "auth_token_secret",
        "DAGWAY_AUTH_TOKEN_SECRET",
        "--auth-token-secret",
        "key that signs login tokens: at least 32 characters, the same for all gateways; auth mode builtin requires it",
        "DAGU_AUTH_TOKEN_SECRET",
    ),
    Option(
        "auth_token_ttl_s",
        "DAGWAY_AUTH_TOKEN_TTL",
        "--auth-token-ttl",
        "how long a login is valid: 24h, 90m or 3600s (24h)",
        "DAGU_AUTH_TOKEN_TTL",
    ),
    Option(
        "auth_admin_username",
        "DAGWAY_AUTH_ADMIN_USERNAME",
        "--auth-admin-username",
        "name of the first user, which is created if there are no users (admin)",
        "DAGU_AUTH_ADMIN_USERNAME",
    ),
    Option(
        "auth_admin_password",
        "DAGWAY_AUTH_ADMIN_PASSWORD",
        "--auth-admin-password",
        "password of the first user (random, printed once to standard output)",
        "DAGU_AUTH_ADMIN_PASSWORD",
    ),
    Option(
        "oidc_issuer",
        "DAGWAY_AUTH_OIDC_ISSUER",
        "--auth-oidc-issuer",
        "issuer URL of the OpenID Connect provider, exactly as the provider publishes it",
        "DAGU_AUTH_OIDC_ISSUER",
    ),
    Option(
        "oidc_client_id",
        "DAGWAY_AUTH_OIDC_CLIENT_ID",
        "--auth-oidc-client-id",
        "client id that the provider gave this application",
        "DAGU_AUTH_OIDC_CLIENT_ID",
    ),
    Option(
        "oidc_client_secret",
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        "--auth-oidc-client-secret",
        "secret that belongs to the client id; use the environment variable: all users of the host see options",
        "DAGU_AUTH_OIDC_CLIENT_SECRET",
    ),
    Option(
        "oidc_client_url",
        "DAGWAY_AUTH_OIDC_CLIENT_URL",
        "--auth-oidc-client-url",
        "URL at which browsers reach this server; register <URL>/oidc-callback with the provider as redirect URI",
        "DAGU_AUTH_OIDC_CLIENT_URL",
    ),
    Option(
        "oidc_scopes",
        "DAGWAY_AUTH_OIDC_SCOPES",
        "--auth-oidc-scopes",
        "OpenID Connect scopes to request (openid,profile,email)",
        "DAGU_AUTH_OIDC_SCOPES",
    ),
    Option(
        "oidc_whitelist",
        "DAGWAY_AUTH_OIDC_WHITELIST",
        "--auth-oidc-whitelist",
        "email addresses that may log in, separated by commas (everyone whom the provider authenticates)",
        "DAGU_AUTH_OIDC_WHITELIST",
    ),
    Option(
        "write_dags",
        "DAGWAY_PERMISSIONS_WRITE_DAGS",
        "--write-dags",
        "whether the API may change DAGs (true)",
        "DAGU_PERMISSIONS_WRITE_DAGS",
    ),
    Option(
        "run_dags",
        "DAGWAY_PERMISSIONS_RUN_DAGS",
        "--run-dags",
        "whether the API may start and change runs (true)",
        "DAGU_PERMISSIONS_RUN_DAGS",
    ),
    Option(
        "metrics",
        "DAGWAY_METRICS",
        "--metrics",
        "who may read /metrics of the API: public (everyone) or private (logged-in users) (private)",
    ),
    Option(
        "require_if_match",
        "DAGWAY_REQUIRE_IF_MATCH",
        "--require-if-match",
        "whether a change of a spec without an If-Match header is refused, with status 428 (false)",
    ),
    Option(
        "remote_nodes",
        "DAGWAY_REMOTE_NODES",
        "--remote-nodes",
        "other servers that the front end can show: a JSON list of maps with name, apiBaseURL and credentials (none)",
    ),
    Option("navbar_title", "DAGWAY_NAVBAR_TITLE", "--navbar-title", "title in the front end's navigation bar (Dagu)"),
    Option("navbar_color", "DAGWAY_NAVBAR_COLOR", "--navbar-color", "colour of the front end's navigation bar (none)"),
    Option("faults", "DAGWAY_FAULTS", "--faults", "for tests only: points at which the process kills itself (none)"),
)
