"""All settings: field of ``Config``, environment variable, command line option, reader, commands and meaning.

The command line, the check for unknown variables and docs/configuration.md are made from this table.
"""

from shared.database_options import DATABASE_OPTIONS
from shared.deletion_cost_options import DELETION_COST_OPTIONS
from shared.oidc_options import OIDC_OPTIONS
from shared.option import ALL as _ALL
from shared.option import CLIENT as _CLIENT
from shared.option import EVERY as _EVERY
from shared.option import GATEWAY as _GATEWAY
from shared.option import SCHEDULER as _SCHEDULER
from shared.option import WORKER as _WORKER
from shared.option import Option
from shared.process_options import PROCESS_OPTIONS
from shared.secret_options import SECRET_OPTIONS
from shared.setting_readers import (
    base_path,
    days_kept,
    duration_s,
    existing_file,
    existing_folder,
    folder,
    front_end_folder,
    gateway_url,
    host_names,
    limits,
    one_of,
    origins,
    seconds,
    text_encoding,
    true_or_false,
    whole_number,
    words,
    zone_name,
)
from shared.signing_options import SIGNING_OPTIONS
from shared.step_options import STEP_OPTIONS
from shared.worker_options import WORKER_OPTIONS

__all__ = ["OPTIONS"]


OPTIONS = (
    Option(
        "host",
        "DAGWAY_HOST",
        str,
        _EVERY,
        "address that the gateway and the admin server listen on (127.0.0.1)",
        has_alias=True,
    ),
    Option(
        "port",
        "DAGWAY_PORT",
        whole_number(0, 65535),
        _GATEWAY,
        "port the gateway listens on; 0: any free port (8080)",
        has_alias=True,
    ),
    Option(
        "data_dir",
        "DAGWAY_DATA_DIR",
        folder,
        _ALL,
        "folder for local state: database, messages, logs and work files (.dagway)",
    ),
    Option(
        "dags_dir",
        "DAGWAY_DAGS_DIR",
        existing_folder,
        _SCHEDULER | _WORKER,
        "folder of DAG files: a scheduler loads them and follows changes; a worker runs steps in their folders (none)",
        flag_name="--dags",
        has_alias=True,
    ),
    Option(
        "dags_write",
        "DAGWAY_DAGS_WRITE",
        one_of("folder", "database", "refuse"),
        _SCHEDULER,
        "where the API stores changes to DAGs: database; folder for the database and the file in the DAG folder; or "
        "refuse, if DAGs come from Git (folder in dagway up with a DAG folder, else database)",
    ),
    Option(
        "suspend_dir",
        "DAGWAY_SUSPEND_FLAGS_DIR",
        folder,
        _SCHEDULER,
        "folder of suspend flags as Dagu keeps them, followed and written if DAGs are written to the DAG folder (none)",
        has_alias=True,
    ),
    *DATABASE_OPTIONS,
    Option(
        "amqp_url",
        "DAGWAY_AMQP_URL",
        str,
        _ALL,
        "RabbitMQ: amqp://user:password@host:5672/vhost, amqps:// for TLS (with ?cacertfile=FILE for a private "
        "certificate authority), or host1,host2,host3 for a cluster",
        secret=True,
    ),
    *WORKER_OPTIONS,
    *SECRET_OPTIONS,
    *SIGNING_OPTIONS,
    *STEP_OPTIONS,
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
        has_alias=True,
    ),
    Option(
        "lease_s",
        "DAGWAY_LEASE_S",
        seconds,
        _SCHEDULER | _WORKER,
        "seconds without a heartbeat after which a worker's attempts count as lost (10)",
    ),
    Option(
        "event_shards",
        "DAGWAY_EVENT_SHARDS",
        whole_number(0, 8),
        _SCHEDULER,
        "number of broker queues (shards) for the reports of runs; normally one scheduler reads each; 0: one queue "
        "that all schedulers read; set 0 before a downgrade to a version without shards (8)",
    ),
    Option(
        "audit_days",
        "DAGWAY_AUDIT_DAYS",
        days_kept(30),
        _SCHEDULER,
        "for how many days entries of the audit log are kept: at least 30; 0: for ever (400)",
    ),
    Option(
        "history_days",
        "DAGWAY_HISTORY_DAYS",
        days_kept(10),
        _SCHEDULER,
        "for how many days ended runs are kept at most, whatever the histRetentionDays of their DAG is and whether it "
        "starts again: at least 10; 0: no limit (0)",
    ),
    Option(
        "trusted_proxies",
        "DAGWAY_TRUSTED_PROXIES",
        whole_number(0, 10),
        _GATEWAY,
        "number of proxies in front of the gateway: the client's address is this many places from the end of the "
        "X-Forwarded-For header; 0: the address of the connection (0)",
    ),
    Option(
        "outbound",
        "DAGWAY_OUTBOUND",
        one_of("any", "no-metadata", "public"),
        _GATEWAY | _WORKER,
        "which addresses http and chat steps, schemas of parameters, collectors of traces and remote nodes may connect "
        "to: any; no-metadata: none that is link-local or a cloud's metadata service; public: only those of the "
        "internet (any)",
    ),
    Option(
        "verify_every_s",
        "DAGWAY_VERIFY_EVERY",
        duration_s,
        _SCHEDULER,
        "how often one scheduler checks the database as dagway verify does: 24h, 90m or 3600s (never)",
    ),
    *PROCESS_OPTIONS,
    Option(
        "api_threads",
        "DAGWAY_API_THREADS",
        whole_number(1, 1000),
        _GATEWAY,
        "how many requests the gateway handles at the same time, not counting event streams and requests that wait for "
        "a run (16)",
        flag_name="--threads",
    ),
    Option(
        "command_wait_s",
        "DAGWAY_COMMAND_WAIT_S",
        seconds,
        _GATEWAY,
        "for how many seconds a write waits for its outcome before the response is 202 (30 in dagway up, else 5)",
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
        "password for HTTP Basic authentication; use the environment variable: other users of the host can see options",
        secret=True,
        has_alias=True,
    ),
    Option(
        "auth_token",
        "DAGWAY_AUTH_TOKEN",
        str,
        _GATEWAY,
        "Bearer token that gives a request the role admin (none)",
        secret=True,
        has_alias=True,
    ),
    Option(
        "auth_token_secret",
        "DAGWAY_AUTH_TOKEN_SECRET",
        str,
        _GATEWAY,
        "key that signs login tokens: at least 32 characters, the same for all gateways; auth mode builtin requires it",
        secret=True,
        has_alias=True,
    ),
    Option(
        "auth_token_other_secrets",
        "DAGWAY_AUTH_TOKEN_OTHER_SECRETS",
        words,
        _GATEWAY,
        "other keys, separated by commas, whose login tokens are valid too: to replace the key without ending logins",
        secret=True,
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
        secret=True,
        has_alias=True,
    ),
    *OIDC_OPTIONS,
    Option(
        "write_dags",
        "DAGWAY_PERMISSIONS_WRITE_DAGS",
        true_or_false,
        _GATEWAY,
        "whether the API may change DAGs (true)",
        has_alias=True,
    ),
    Option(
        "run_dags",
        "DAGWAY_PERMISSIONS_RUN_DAGS",
        true_or_false,
        _GATEWAY,
        "whether the API may start and change runs (true)",
        has_alias=True,
    ),
    Option(
        "metrics",
        "DAGWAY_METRICS",
        one_of("private", "public"),
        _GATEWAY,
        "who may read /metrics of the API: public (everyone) or private (logged-in users) (private)",
        alias_name="DAGU_SERVER_METRICS",
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
        secret=True,
    ),
    Option(
        "allowed_hosts",
        "DAGWAY_ALLOWED_HOSTS",
        host_names,
        _GATEWAY,
        "names of this server besides localhost, for requests without a token or key: flows.example.org (none)",
    ),
    Option(
        "allowed_origins",
        "DAGWAY_ALLOWED_ORIGINS",
        origins,
        _GATEWAY,
        "other origins whose pages may use the gateway without a token or key: https://dashboard.example.org (none)",
    ),
    Option(
        "navbar_title",
        "DAGWAY_NAVBAR_TITLE",
        str,
        _GATEWAY,
        "title in the front end's navigation bar (Dagu)",
        alias_name="DAGU_UI_NAVBAR_TITLE",
    ),
    Option(
        "navbar_color",
        "DAGWAY_NAVBAR_COLOR",
        str,
        _GATEWAY,
        "colour of the front end's navigation bar (none)",
        alias_name="DAGU_UI_NAVBAR_COLOR",
    ),
    Option(
        "log_charset",
        "DAGWAY_LOG_CHARSET",
        text_encoding,
        _GATEWAY,
        "encoding in which the gateway shows what steps print: shift_jis (utf-8)",
        alias_name="DAGU_UI_LOG_ENCODING_CHARSET",
    ),
    *DELETION_COST_OPTIONS,
    Option("url", "DAGWAY_URL", gateway_url, _CLIENT, "URL of the gateway that commands use (http://127.0.0.1:8080)"),
    Option(
        "profile",
        "DAGWAY_PROFILE",
        str,
        _CLIENT,
        "profile with the URL and credentials of a gateway, see dagway config (the profile in use)",
    ),
    Option("workspace", "DAGWAY_WORKSPACE", str, _CLIENT, "workspace that commands use (the default workspace)"),
    Option("faults", "DAGWAY_FAULTS", str, _EVERY, "for tests only: points at which the process kills itself (none)"),
)
