"""The newest run of a DAG is the same run for reads and writes, whatever the collation of the database."""

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from sqlalchemy import Engine, text

from shared.ids import new_token
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.reader import Reads
from shared.store.reads.runs import LATEST
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add_dag, add_run, after


@pytest.fixture
def english(database_url: str) -> Iterator[Engine]:
    """A database with an English collation, which sorts a, B, c. The order by code points is B, a, c."""
    name = f"english_{new_token()}"
    locale = "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    with closing(psycopg2.connect(database_url)) as server, server.cursor() as cursor:
        server.autocommit = True
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}")
        url = urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
        migrate(url)
        engine = open_engine(url)
        yield engine
        engine.dispose()
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_reads_and_writes_agree_on_the_newest_of_runs_created_at_one_moment(english: Engine) -> None:
    add_dag(english, "etl")
    for run_id in ("c", "a", "B"):
        add_run(english, "etl", run_id, created_at=NOW)
    add_run(english, "etl", "Older", created_at=after(-1))
    reads = Reads(english)
    with english.connect() as connection:
        ids = connection.execute(text("SELECT dag_run_id FROM dag_runs ORDER BY dag_run_id")).scalars().all()
    assert ids == ["a", "B", "c", "Older"]

    with Store(english).begin() as tx:
        stopped = tx.runs.newest_key("etl")
        guarded = tx.runs.newest(["etl"])["etl"]["dag_run_id"]
    latest = reads.run("etl", LATEST)

    assert latest is not None
    assert latest.run_key == "etl/B"
    assert (stopped, guarded) == (latest.run_key, "B")
    assert reads.latest_runs(["etl"])["etl"].run_key == latest.run_key
    assert [run.run_key for run in reads.runs(dag_name="etl")] == ["etl/B", "etl/a", "etl/c", "etl/Older"]
