"""Every setting there is: its field, its variable, its option on the command line, and what it means.

This table is the only list of them: the command line, the check for unknown variables and the docs
are made from it.
"""

from dataclasses import dataclass

__all__ = ["OPTIONS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``field`` is its name in ``Config``; ``help`` says unit and default."""

    field: str
    env: str
    flag: str
    help: str
    alias: str = ""
    """Another variable that is read where ``env`` is not set: the name the setting has in Dagu."""


OPTIONS = (
    Option("host", "DAGWAY_HOST", "--host", "address the gateway listens on (127.0.0.1)"),
    Option("port", "DAGWAY_PORT", "--port", "port the gateway listens on (8080); 0 takes a free one"),
    Option("data_dir", "DAGWAY_DATA_DIR", "--data-dir", "folder for local state: database, journal, logs, work files"),
    Option(
        "dags_dir",
        "DAGWAY_DAGS_DIR",
        "--dags",
        "folder of YAML files: a scheduler loads and follows them, a worker that has them too runs steps beside them",
    ),
    Option("database_url", "DAGWAY_DATABASE_URL", "--database-url", "postgresql://… or sqlite:///…"),
    Option("amqp_url", "DAGWAY_AMQP_URL", "--amqp-url", "amqp://… or amqps://…"),
    Option("worker_slots", "DAGWAY_WORKER_SLOTS", "--slots", "attempts a worker runs at once (100)"),
    Option("worker_labels", "DAGWAY_WORKER_LABELS", "--labels", "what this worker offers: gpu=true,region=eu"),
    Option(
        "worker_id",
        "DAGWAY_WORKER_ID",
        "--worker-id",
        "name of this worker, no other's, stable over restarts (host name)",
    ),
    Option("queues", "DAGWAY_QUEUES", "--queues", "global queues and their limits: heavy=2,light=10 (none)"),
    Option("pools", "DAGWAY_POOLS", "--pools", "pools of steps and how many places they have: gpu=2,db=10 (none)"),
    Option(
        "tz",
        "DAGWAY_TZ",
        "--tz",
        "time zone of schedules that name none, and of the times that are shown (the host's)",
        "DAGU_TZ",
    ),
    Option("base_config", "DAGWAY_BASE_CONFIG", "--base-config", "YAML file that every workflow inherits from (none)"),
    Option("lease_s", "DAGWAY_LEASE_S", "--lease", "seconds a silent worker is believed to be alive (10)"),
    Option("metrics_port", "DAGWAY_METRICS_PORT", "--metrics-port", "port for /metrics, /healthz, /readyz (0: none)"),
    Option(
        "metrics_dags", "DAGWAY_METRICS_DAGS", "--metrics-dags", "dags with metrics of their own; the rest is one (200)"
    ),
    Option("log_level", "DAGWAY_LOG_LEVEL", "--log-level", "debug, info, warning or error (info)"),
    Option("log_format", "DAGWAY_LOG_FORMAT", "--log-format", "json or text (text on a terminal, else json)"),
    Option("api_threads", "DAGWAY_API_THREADS", "--threads", "requests a gateway serves at once (16)"),
    Option("base_path", "DAGWAY_BASE_PATH", "--base-path", "prefix of all paths, as in /dagway", "DAGU_BASE_PATH"),
    Option("ui_dir", "DAGWAY_UI_DIR", "--ui-dir", "folder of a front end's bundle to serve (none)"),
    Option(
        "auth_mode",
        "DAGWAY_AUTH_MODE",
        "--auth-mode",
        "none, builtin or oidc (oidc where issuer, id and secret are set, else none)",
        "DAGU_AUTH_MODE",
    ),
    Option(
        "auth_basic_username",
        "DAGWAY_AUTH_BASIC_USERNAME",
        "--auth-basic-username",
        "with the password: accept HTTP Basic",
        "DAGU_AUTH_BASIC_USERNAME",
    ),
    Option(
        "auth_basic_password",
        "DAGWAY_AUTH_BASIC_PASSWORD",
        "--auth-basic-password",
        "see the username; better given as a variable",
        "DAGU_AUTH_BASIC_PASSWORD",
    ),
    Option("auth_token", "DAGWAY_AUTH_TOKEN", "--auth-token", "accept this Bearer token as admin", "DAGU_AUTH_TOKEN"),
    Option(
        "auth_token_secret",
        "DAGWAY_AUTH_TOKEN_SECRET",
        "--auth-token-secret",
        "signs logins; builtin mode needs it, 32 characters or more, the same for all gateways",
        "DAGU_AUTH_TOKEN_SECRET",
    ),
    Option(
        "auth_token_ttl_s",
        "DAGWAY_AUTH_TOKEN_TTL",
        "--auth-token-ttl",
        "how long a login lasts: 24h, 90m, 3600s (24h)",
        "DAGU_AUTH_TOKEN_TTL",
    ),
    Option(
        "auth_admin_username",
        "DAGWAY_AUTH_ADMIN_USERNAME",
        "--auth-admin-username",
        "the first user's name (admin)",
        "DAGU_AUTH_ADMIN_USERNAME",
    ),
    Option(
        "auth_admin_password",
        "DAGWAY_AUTH_ADMIN_PASSWORD",
        "--auth-admin-password",
        "the first user's password (random, printed once)",
        "DAGU_AUTH_ADMIN_PASSWORD",
    ),
    Option(
        "oidc_issuer",
        "DAGWAY_AUTH_OIDC_ISSUER",
        "--auth-oidc-issuer",
        "the OpenID Connect provider's address, as it names itself; mode oidc",
        "DAGU_AUTH_OIDC_ISSUER",
    ),
    Option(
        "oidc_client_id",
        "DAGWAY_AUTH_OIDC_CLIENT_ID",
        "--auth-oidc-client-id",
        "this application's id at the provider",
        "DAGU_AUTH_OIDC_CLIENT_ID",
    ),
    Option(
        "oidc_client_secret",
        "DAGWAY_AUTH_OIDC_CLIENT_SECRET",
        "--auth-oidc-client-secret",
        "and its secret; better given as a variable",
        "DAGU_AUTH_OIDC_CLIENT_SECRET",
    ),
    Option(
        "oidc_client_url",
        "DAGWAY_AUTH_OIDC_CLIENT_URL",
        "--auth-oidc-client-url",
        "this server's address as browsers know it; the provider sends them back to <address>/oidc-callback",
        "DAGU_AUTH_OIDC_CLIENT_URL",
    ),
    Option(
        "oidc_scopes",
        "DAGWAY_AUTH_OIDC_SCOPES",
        "--auth-oidc-scopes",
        "what is asked of the provider (openid,profile,email)",
        "DAGU_AUTH_OIDC_SCOPES",
    ),
    Option(
        "oidc_whitelist",
        "DAGWAY_AUTH_OIDC_WHITELIST",
        "--auth-oidc-whitelist",
        "mail addresses that are let in (whomever the provider knows)",
        "DAGU_AUTH_OIDC_WHITELIST",
    ),
    Option(
        "write_dags",
        "DAGWAY_PERMISSIONS_WRITE_DAGS",
        "--write-dags",
        "whether dags may be changed by API (true)",
        "DAGU_PERMISSIONS_WRITE_DAGS",
    ),
    Option(
        "run_dags",
        "DAGWAY_PERMISSIONS_RUN_DAGS",
        "--run-dags",
        "whether runs may be started and changed by API (true)",
        "DAGU_PERMISSIONS_RUN_DAGS",
    ),
    Option("metrics", "DAGWAY_METRICS", "--metrics", "private or public: /metrics without auth (private)"),
    Option("require_if_match", "DAGWAY_REQUIRE_IF_MATCH", "--require-if-match", "428 for a spec put blindly (false)"),
    Option(
        "remote_nodes", "DAGWAY_REMOTE_NODES", "--remote-nodes", "JSON list of other servers: name, apiBaseURL, ..."
    ),
    Option("navbar_title", "DAGWAY_NAVBAR_TITLE", "--navbar-title", "the front end's title (Dagu)"),
    Option("navbar_color", "DAGWAY_NAVBAR_COLOR", "--navbar-color", "the front end's colour"),
    Option("faults", "DAGWAY_FAULTS", "--faults", "for tests: where the process shall kill itself (nowhere)"),
)
