"""All settings: environment variable, reader, commands and meaning.

The command line, the check for unknown variables and docs/configuration.md are made from this table.
"""

from shared.settings.database_options import DATABASE_OPTIONS
from shared.settings.deletion_cost_options import DELETION_COST_OPTIONS
from shared.settings.oidc_options import OIDC_OPTIONS
from shared.settings.option import ALL, CLIENT, EVERY, GATEWAY, SCHEDULER, WORKER, Option
from shared.settings.process_options import PROCESS_OPTIONS
from shared.settings.readers import (
    base_path,
    days_kept,
    existing_file,
    existing_folder,
    folder,
    front_end_folder,
    gateway_url,
    header_value,
    host_names,
    limits,
    one_of,
    origins,
    seconds,
    text_encoding,
    true_or_false,
    whole_number,
    whole_seconds,
    words,
    zone_name,
)
from shared.settings.secret_options import SECRET_OPTIONS
from shared.settings.signing_options import SIGNING_OPTIONS
from shared.settings.step_options import STEP_OPTIONS
from shared.settings.worker_options import WORKER_OPTIONS

__all__ = ["OPTIONS"]


OPTIONS = (
    Option(
        "DAGWAY_HOST", str, EVERY, "address that the gateway and the admin server listen on (127.0.0.1)", has_alias=True
    ),
    Option(
        "DAGWAY_PORT",
        whole_number(0, 65535),
        GATEWAY,
        "port the gateway listens on; 0: any free port (8080)",
        has_alias=True,
    ),
    Option("DAGWAY_DATA_DIR", folder, ALL, "folder for local state: database, messages, logs and work files (.dagway)"),
    Option(
        "DAGWAY_DAGS_DIR",
        existing_folder,
        SCHEDULER | WORKER,
        "folder of DAG files: a scheduler loads them and follows changes; a worker runs steps in their folders (none)",
        flag_name="--dags",
        has_alias=True,
    ),
    Option(
        "DAGWAY_DAGS_WRITE",
        one_of("folder", "database", "refuse"),
        SCHEDULER,
        "where the API stores changes to DAGs: database; folder for the database and the file in the DAG folder; or "
        "refuse, if DAGs come from Git (folder in dagway up with a DAG folder, else database)",
    ),
    Option(
        "DAGWAY_SUSPEND_FLAGS_DIR",
        folder,
        SCHEDULER,
        "folder of suspend flags as Dagu keeps them, followed and written if DAGs are written to the DAG folder (none)",
        field_name="suspend_dir",
        has_alias=True,
    ),
    *DATABASE_OPTIONS,
    Option(
        "DAGWAY_AMQP_URL",
        str,
        ALL,
        "RabbitMQ: amqp://user:password@host:5672/vhost, amqps:// for TLS (with ?cacertfile=FILE for a private "
        "certificate authority), or host1,host2,host3 for a cluster",
        secret=True,
    ),
    *WORKER_OPTIONS,
    *SECRET_OPTIONS,
    *SIGNING_OPTIONS,
    *STEP_OPTIONS,
    Option(
        "DAGWAY_QUEUES", limits, SCHEDULER, "global queues, each with its limit of active runs: heavy=2,light=10 (none)"
    ),
    Option("DAGWAY_POOLS", limits, SCHEDULER, "pools, each with its limit of running steps: gpu=2,db=10 (none)"),
    Option(
        "DAGWAY_TZ",
        zone_name,
        ALL,
        "time zone of displayed times, of schedules that set none, and TZ of the steps (variable TZ, else the host's "
        "time zone)",
        has_alias=True,
    ),
    Option(
        "DAGWAY_BASE_CONFIG",
        existing_file,
        SCHEDULER,
        "YAML file whose fields are the defaults of every DAG (none)",
        has_alias=True,
    ),
    Option(
        "DAGWAY_LEASE_S",
        seconds,
        SCHEDULER | WORKER,
        "seconds without a heartbeat after which a worker's attempts count as lost (10)",
    ),
    Option(
        "DAGWAY_AUDIT_DAYS",
        days_kept(30),
        SCHEDULER,
        "for how many days entries of the audit log are kept: at least 30; 0: for ever (400)",
    ),
    Option(
        "DAGWAY_HISTORY_DAYS",
        days_kept(10),
        SCHEDULER,
        "for how many days ended runs are kept at most, whatever the histRetentionDays of their DAG is and whether it "
        "starts again: at least 10; 0: no limit (0)",
    ),
    Option(
        "DAGWAY_TRUSTED_PROXIES",
        whole_number(0, 10),
        GATEWAY,
        "number of proxies in front of the gateway: the client's address is this many places from the end of the "
        "X-Forwarded-For header; 0: the address of the connection (0)",
    ),
    Option(
        "DAGWAY_OUTBOUND",
        one_of("any", "no-metadata", "public"),
        GATEWAY | WORKER,
        "which addresses http and chat steps, schemas of parameters, collectors of traces and remote nodes may connect "
        "to: any; no-metadata: none that is link-local or a cloud's metadata service; public: only those of the "
        "internet (any)",
    ),
    Option(
        "DAGWAY_VERIFY_EVERY",
        whole_seconds(60, 10_000_000),
        SCHEDULER,
        "how often one scheduler checks the database as dagway verify does: 24h, 90m or 3600s (never)",
        field_name="verify_every_s",
    ),
    *PROCESS_OPTIONS,
    Option(
        "DAGWAY_API_THREADS",
        whole_number(1, 1000),
        GATEWAY,
        "how many requests the gateway handles at the same time, not counting event streams and requests that wait for "
        "a run (16)",
        flag_name="--threads",
    ),
    Option(
        "DAGWAY_COMMAND_WAIT_S",
        seconds,
        GATEWAY,
        "for how many seconds a write waits for its outcome before the response is 202 (30 in dagway up, else 5)",
    ),
    Option("DAGWAY_BASE_PATH", base_path, GATEWAY, "prefix of all URL paths, such as /dagway (none)", has_alias=True),
    Option(
        "DAGWAY_UI_DIR",
        front_end_folder,
        GATEWAY,
        "folder with the bundle.js of a front end to serve instead of the built-in pages (none)",
    ),
    Option(
        "DAGWAY_AUTH_MODE",
        one_of("none", "builtin", "oidc"),
        GATEWAY,
        "how users log in: none, builtin or oidc (oidc if issuer, client id and client secret are set, else none)",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_BASIC_USERNAME",
        str,
        GATEWAY,
        "username for HTTP Basic authentication; set the password too (none)",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_BASIC_PASSWORD",
        str,
        GATEWAY,
        "password for HTTP Basic authentication; use the environment variable: other users of the host can see options",
        secret=True,
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_TOKEN",
        header_value,
        GATEWAY,
        "Bearer token that gives a request the role admin (none)",
        secret=True,
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_TOKEN_SECRET",
        str,
        GATEWAY,
        "key that signs login tokens: at least 32 characters, the same for all gateways; auth mode builtin requires it",
        secret=True,
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_TOKEN_OTHER_SECRETS",
        words,
        GATEWAY,
        "other keys, separated by commas, whose login tokens are valid too: to replace the key without ending logins",
        secret=True,
    ),
    Option(
        "DAGWAY_AUTH_TOKEN_TTL",
        whole_seconds(60, 10_000_000),
        GATEWAY,
        "how long a login is valid: 24h, 90m or 3600s (24h)",
        field_name="auth_token_ttl_s",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_ADMIN_USERNAME",
        str,
        GATEWAY,
        "name of the first user, which is created if there are no users (admin)",
        has_alias=True,
    ),
    Option(
        "DAGWAY_AUTH_ADMIN_PASSWORD",
        str,
        GATEWAY,
        "password of the first user (random, printed once to standard output)",
        secret=True,
        has_alias=True,
    ),
    *OIDC_OPTIONS,
    Option(
        "DAGWAY_PERMISSIONS_WRITE_DAGS",
        true_or_false,
        GATEWAY,
        "whether the API may change DAGs (true)",
        field_name="write_dags",
        has_alias=True,
    ),
    Option(
        "DAGWAY_PERMISSIONS_RUN_DAGS",
        true_or_false,
        GATEWAY,
        "whether the API may start and change runs (true)",
        field_name="run_dags",
        has_alias=True,
    ),
    Option(
        "DAGWAY_METRICS",
        one_of("private", "public"),
        GATEWAY,
        "who may read /metrics of the API: public (everyone) or private (logged-in users) (private)",
        alias_name="DAGU_SERVER_METRICS",
    ),
    Option(
        "DAGWAY_REQUIRE_IF_MATCH",
        true_or_false,
        GATEWAY,
        "whether a change of a spec without an If-Match header is refused, with status 428 (false)",
    ),
    Option(
        "DAGWAY_REMOTE_NODES",
        str,
        GATEWAY,
        "other servers that the front end can show: a JSON list of maps with name, apiBaseURL and credentials (none)",
        secret=True,
    ),
    Option(
        "DAGWAY_ALLOWED_HOSTS",
        host_names,
        GATEWAY,
        "names of this server besides localhost, for requests without a token or key: flows.example.org (none)",
    ),
    Option(
        "DAGWAY_ALLOWED_ORIGINS",
        origins,
        GATEWAY,
        "other origins whose pages may use the gateway without a token or key: https://dashboard.example.org (none)",
    ),
    Option(
        "DAGWAY_NAVBAR_TITLE",
        str,
        GATEWAY,
        "title in the front end's navigation bar (Dagu)",
        alias_name="DAGU_UI_NAVBAR_TITLE",
    ),
    Option(
        "DAGWAY_NAVBAR_COLOR",
        str,
        GATEWAY,
        "colour of the front end's navigation bar (none)",
        alias_name="DAGU_UI_NAVBAR_COLOR",
    ),
    Option(
        "DAGWAY_LOG_CHARSET",
        text_encoding,
        GATEWAY,
        "encoding in which the gateway shows what steps print: shift_jis (utf-8)",
        alias_name="DAGU_UI_LOG_ENCODING_CHARSET",
    ),
    *DELETION_COST_OPTIONS,
    Option("DAGWAY_URL", gateway_url, CLIENT, "URL of the gateway that commands use (http://127.0.0.1:8080)"),
    Option(
        "DAGWAY_PROFILE",
        str,
        CLIENT,
        "profile with the URL and credentials of a gateway, see dagway config (the profile in use)",
    ),
    Option("DAGWAY_WORKSPACE", header_value, CLIENT, "workspace that commands use (the default workspace)"),
    Option("DAGWAY_FAULTS", str, EVERY, "for tests only: points at which the process kills itself (none)"),
)
