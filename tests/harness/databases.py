"""Databases with the current schema: migrated once per process, copied for each test.

A migration takes 0.4 s on SQLite and up to 1 s on Postgres; a copy takes a few milliseconds on SQLite and
70 ms on Postgres. Tests of the migrations themselves migrate empty databases.

The SQLite databases here have gone through all revisions, as that of a server that was upgraded. Those of services
that a test starts are new, and have the schema of ``create_tables``.
"""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from psycopg2 import connect, sql

from shared.store.migrate import SCRIPTS, migrate

__all__ = ["gateways_url", "migrated_sqlite", "role_url"]


def migrated_sqlite(path: Path) -> str:
    """Create a SQLite database with the current schema at ``path`` and return its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_sqlite_image())
    return f"sqlite:///{path}"


def gateways_url(url: str) -> str:
    """Return the URL of the same database for a gateway: on Postgres of a user who has only a gateway's rights."""
    return role_url(url, "dagway_api") if url.startswith("postgresql") else url


def role_url(url: str, *roles: str) -> str:
    """Return the URL of a Postgres database for a login user who is a member of ``roles``. ``url``: a superuser's."""
    parts = urlsplit(url)
    user = "_".join(("u", *roles, parts.path.strip("/")))
    connection = connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user])
        if cursor.fetchone() is None:
            members = sql.SQL(", ").join(map(sql.Identifier, roles))
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(sql.Identifier(user), members))
    connection.close()
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))


@cache
def _sqlite_image() -> bytes:
    folder = Path(tempfile.mkdtemp(prefix="dagway-schema-"))
    try:
        # Other scripts than the program's own are always applied one by one.
        migrate(f"sqlite:///{folder}/migrated.db", scripts=shutil.copytree(SCRIPTS, folder / "migrations"))
        # The last connection has closed, so nothing is left in the write-ahead log.
        assert {path.name for path in folder.iterdir()} == {"migrated.db", "migrations"}
        return (folder / "migrated.db").read_bytes()
    finally:
        shutil.rmtree(folder)
