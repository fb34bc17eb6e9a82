"""Creates the current schema in an empty SQLite database, without the revisions that led to it."""

from pathlib import Path

from sqlalchemy import Connection

from shared.private_files import private_file
from shared.store.engine import open_engine
from shared.store.tables import counters, metadata, run_totals_mark

__all__ = ["create_schema", "create_tables"]


def create_tables(connection: Connection) -> None:
    """Create what all revisions together create in an empty SQLite database: tables, indexes and their first rows.

    Only the order of columns differs, which means nothing.
    """
    metadata.create_all(connection, checkfirst=False)
    connection.execute(counters.insert().values(name="transaction", value=1))
    connection.execute(run_totals_mark.insert().values(id=1, mark=""))


def create_schema(path: Path) -> str:
    """Create a SQLite database with the current schema, for the time of one process, and return its URL.

    It has no revision, so no later version can upgrade it.
    """
    private_file(path)
    url = f"sqlite:///{path}"
    engine = open_engine(url, pool_size=1, synced=False)
    try:
        with engine.begin() as connection:
            create_tables(connection)
    finally:
        engine.dispose()
    return url
