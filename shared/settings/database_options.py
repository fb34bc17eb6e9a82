"""The settings for the database."""

from shared.settings.option import GATEWAY, SCHEDULER, Option
from shared.settings.readers import seconds, whole_number

__all__ = ["DATABASE_OPTIONS"]

DATABASE_OPTIONS = (
    Option(
        "DAGWAY_DATABASE_URL",
        str,
        GATEWAY | SCHEDULER,
        "database: postgresql://user:password@host/name (behind PgBouncer with ?pooler=transaction) or sqlite:///path",
        secret=True,
    ),
    Option(
        "DAGWAY_DATABASE_STATEMENT_S",
        seconds,
        GATEWAY | SCHEDULER,
        "seconds that Postgres may take for one statement; a read that takes longer is answered with 503 (15)",
    ),
    Option(
        "DAGWAY_DATABASE_ROOM_MIB",
        whole_number(0, 1_000_000_000),
        SCHEDULER,
        "MiB that the database may take on its server's disk, for the alert DagwayDatabaseDiskLow; 0: not known, no "
        "alert (0)",
    ),
)
