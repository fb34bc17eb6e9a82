"""The SQL in the documentation: an operator copies it while something is wrong."""

import re
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.harness.servers import PostgresServer

DOCS = Path(__file__).parents[2] / "docs"
_FOUND_BY_THE_READER = re.compile(r"\b(PID|SLOT|STATEMENT)\b")
"""Words in place of which a reader writes what a query before has shown."""


def queries() -> set[tuple[str, str]]:
    """Return the page and the text of each query for ``psql``."""
    return {
        (page.stem, found[2])
        for page in DOCS.rglob("*.md")
        for found in re.finditer(r"psql .*-c (['\"])(.*?)\1\s*$", page.read_text(), re.MULTILINE)
        if not _FOUND_BY_THE_READER.search(found[2])
    }


def test_postgres_carries_out_each_query(postgres_server: PostgresServer) -> None:
    """On a server of our own: some queries change the settings of all."""
    found = sorted(queries())
    refused = {}

    with closing(psycopg2.connect(postgres_server.create_migrated_database())) as connection:
        connection.autocommit = True
        for page, query in found:
            try:
                with connection.cursor() as cursor:
                    # Here the database has another name than in the commands of the pages.
                    cursor.execute(query.replace("DATABASE dagway", f"DATABASE {connection.info.dbname}"))
            except psycopg2.Error as error:
                refused[page, query] = str(error)

    assert len(found) >= 9
    assert refused == {}
