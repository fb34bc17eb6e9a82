"""How many rows Postgres looks at for the runs of a DAG that others call very often, and that seldom runs by itself."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from shared.status import RunStatus
from shared.store.reads.reader import Reads
from shared.store.writes.history import HistoryWrites
from tests.conformance.counted_rows import RowsOf, counted_rows
from tests.harness.servers import PostgresServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# There are two DAGs, and the rows lie in the order of time. So Postgres takes it for cheap to walk over the root runs
# of both, and it knows that most rows are those of the DAG that is called.
HISTORY = """
    INSERT INTO specs VALUES ('h', 'steps: []', now());
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, root_key, spec_hash, status, version, last_seq, run_attempt,
                          queue, given, params, env, created_at, started_at, finished_at)
        SELECT n || '-' || m, CASE WHEN m = 0 AND n > 3 THEN 'calling' ELSE 'called' END, n || '-' || m,
               CASE WHEN m > 0 THEN n || '-0' END, 'h', 'succeeded', 1, 2, 1, 'q', '', '[]', '[]',
               CAST(:now AS timestamptz) + n * interval '1 second', :now, CAST(:now AS timestamptz)
        FROM generate_series(1, :roots) n, generate_series(0, 2) m
        ORDER BY n, m;
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at, started_at)
        SELECT 'running', 'called', 'running', 'h', 'running', 1, 2, 1, 'q', '', '[]', '[]',
               CAST(:now AS timestamptz), now();
    INSERT INTO pauses (scope, name, paused_at, paused_by, reason)
        VALUES ('global', '', CAST(:now AS timestamptz), 'ann', '');
    ANALYZE
"""


@pytest.fixture(scope="module")
def rows_of(_postgres: PostgresServer) -> Iterator[RowsOf]:
    with counted_rows(_postgres, HISTORY, {"now": NOW, "roots": 20_000}) as rows:
        yield rows


@pytest.mark.parametrize(
    "ask",
    [
        lambda reads: reads.run("called", "latest"),
        lambda reads: reads.run_version("called", "latest"),
        lambda reads: reads.latest_runs(["called", "calling"]),
        lambda reads: reads.recent_runs("called"),
        lambda reads: reads.ended_runs("called", limit=9),
        lambda reads: reads.runs(dag_name="called"),
        lambda reads: reads.runs(dag_name="called", oldest_first=True),
        lambda reads: reads.runs(dag_name="called", status=RunStatus.SUCCEEDED),
        lambda reads: reads.runs(dag_name="called", created_before=NOW),
        lambda reads: reads.runs(dag_name="called", search="none"),
        lambda reads: reads.search_end(dag_name="called"),
        lambda reads: reads.pauses(NOW),
    ],
)
def test_few_root_runs_of_a_dag_are_found_without_a_walk_over_those_of_all(
    rows_of: RowsOf, ask: Callable[[Reads], object]
) -> None:
    assert rows_of(ask) < 100


def test_the_expired_runs_of_a_dag_are_found_without_a_walk_over_those_of_all(rows_of: RowsOf) -> None:
    def find(connection: Connection) -> None:
        assert len(HistoryWrites(connection).expired("called", datetime.now(UTC), 100)) == 3

    assert rows_of.of_writes(find) < 100
