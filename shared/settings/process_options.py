"""The settings of what every service process has: metrics and logs."""

from shared.settings.option import ALL, EVERY, Option
from shared.settings.readers import one_of, whole_number

__all__ = ["PROCESS_OPTIONS"]

PROCESS_OPTIONS = (
    Option(
        "DAGWAY_METRICS_PORT",
        whole_number(0, 65535),
        EVERY,
        "port of the admin server: /metrics, /healthz and /readyz; 0: none (0)",
    ),
    Option(
        "DAGWAY_METRICS_DAGS",
        whole_number(0, 100_000),
        ALL,
        "how many DAGs get their own metric series; the others share the label other (1000)",
    ),
    Option(
        "DAGWAY_LOG_LEVEL",
        one_of("debug", "info", "warning", "error"),
        EVERY,
        "lowest level that is logged: debug, info, warning or error (info)",
    ),
    Option(
        "DAGWAY_LOG_FORMAT",
        one_of("json", "text"),
        EVERY,
        "format of log lines: json or text (text on a terminal, else json)",
        has_alias=True,
    ),
)
