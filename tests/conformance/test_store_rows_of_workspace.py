"""How many rows Postgres looks at for the runs of a DAG in a named workspace that has most runs of the server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from shared.status import RunStatus
from shared.store.reads.reader import ListedRunRow, Reads
from tests.conformance.counted_rows import RowsOf, counted_rows
from tests.harness.servers import PostgresServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HISTORY = """
    INSERT INTO specs VALUES ('h', 'steps: []', now());
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at, started_at, finished_at)
        SELECT n, CASE WHEN n % 4 > 0 THEN 'acme␟etl' ELSE 'dag-' || n % 50 END, n, 'h',
               CASE WHEN n % 8 > 0 THEN 'succeeded' ELSE 'failed' END, 1, 2, 1, 'q',
               '', '[]', '[]', CAST(:now AS timestamptz) + n * interval '1 second', now(), now()
        FROM generate_series(1, 20000) n;
    ANALYZE
"""


@pytest.fixture(scope="module")
def rows_of(_postgres: PostgresServer) -> Iterator[RowsOf]:
    with counted_rows(_postgres, HISTORY, {"now": NOW}) as rows:
        yield rows


@pytest.mark.parametrize(
    "ask",
    [
        lambda reads: reads.runs(dag_name="acme␟etl", limit=9),
        lambda reads: reads.runs(dag_name="acme␟etl", behind=ListedRunRow("", 0, NOW, "7"), limit=9),
        lambda reads: reads.runs(dag_name="acme␟etl", status=RunStatus.SUCCEEDED, limit=9),
        lambda reads: reads.runs(dag_name="acme␟etl", oldest_first=True, limit=9),
        lambda reads: reads.runs(limit=9),
        lambda reads: reads.recent_runs("acme␟etl", limit=9),
        lambda reads: reads.ended_runs("acme␟etl", limit=9),
        lambda reads: reads.run("acme␟etl", "latest"),
        lambda reads: reads.latest_runs(["acme␟etl"]),
        lambda reads: reads.search_end(dag_name="acme␟etl", most=50),
    ],
)
def test_the_newest_runs_are_found_without_a_walk_over_those_of_the_workspace(
    rows_of: RowsOf, ask: Callable[[Reads], object]
) -> None:
    assert rows_of(lambda reads: ask(reads.within("acme"))) < 200
