"""How many rows Postgres looks at for the few runs of a DAG that did not succeed, and by which index SQLite finds them.

"What of this DAG has failed?" is what somebody asks whom an alert has woken.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from shared.status import RunStatus
from shared.store.engine import open_engine
from shared.store.reads.reader import ListedRunRow, Reads
from tests.conformance.counted_rows import RowsOf, counted_rows
from tests.harness.databases import migrated_sqlite
from tests.harness.servers import PostgresServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Of the runs of other DAGs half failed or were aborted, so Postgres expects the same of "etl", and that a walk over its
# runs soon meets enough of them.
HISTORY = """
    INSERT INTO specs VALUES ('h', 'steps: []', now());
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at, started_at, finished_at)
        SELECT n, CASE WHEN n % 2 > 0 THEN 'etl' ELSE 'dag-' || n % 50 END, n, 'h',
               CASE WHEN n % 4 > 0 THEN 'succeeded' WHEN n % 8 > 0 THEN 'failed' ELSE 'aborted' END, 1, 2, 1, 'q',
               '', '[]', '[]', CAST(:now AS timestamptz) + n * interval '1 second', now(), now()
        FROM generate_series(1, 20000) n;
    ANALYZE
"""
NOT_SUCCEEDED = [RunStatus.FAILED, RunStatus.ABORTED, RunStatus.REJECTED, RunStatus.PARTIALLY_SUCCEEDED]
LISTS: dict[str, Callable[[Reads, RunStatus], object]] = {
    "all": lambda reads, status: reads.runs(dag_name="etl", status=status),
    "oldest": lambda reads, status: reads.runs(dag_name="etl", status=status, oldest_first=True),
    "between": lambda reads, status: reads.runs(
        dag_name="etl", status=status, created_from=NOW, created_before=NOW + timedelta(hours=5)
    ),
    "further": lambda reads, status: reads.runs(
        dag_name="etl", status=status, behind=ListedRunRow("", 0, NOW + timedelta(hours=5), "7"), limit=101
    ),
    "searched": lambda reads, status: reads.runs(dag_name="etl", status=status, search="none"),
    "where a search pauses": lambda reads, status: reads.search_end(dag_name="etl", status=status),
}


@pytest.fixture(scope="module")
def rows_of(_postgres: PostgresServer) -> Iterator[RowsOf]:
    with counted_rows(_postgres, HISTORY, {"now": NOW}) as rows:
        yield rows


@pytest.mark.parametrize("ask", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("status", NOT_SUCCEEDED)
def test_runs_of_a_dag_that_did_not_succeed_are_found_without_the_others(
    rows_of: RowsOf, status: RunStatus, ask: Callable[[Reads, RunStatus], object]
) -> None:
    assert rows_of(lambda reads: ask(reads, status)) < 100


def test_sqlite_finds_them_by_the_same_index(tmp_path: Path) -> None:
    engine = open_engine(migrated_sqlite(tmp_path / "store.db"), read_only=True)
    sent: list[tuple[str, tuple[object, ...]]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))
    for ask in LISTS.values():
        for status in NOT_SUCCEEDED:
            ask(Reads(engine).within(""), status)

    asked = [each for each in sent if "FROM dag_runs" in each[0]]
    with engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all() for sql, values in asked]
    engine.dispose()

    assert len(plans) == len(LISTS) * len(NOT_SUCCEEDED)
    by_index = "SEARCH dag_runs USING INDEX ix_dag_runs_not_succeeded (status=? AND dag_name>? AND dag_name<?)"
    assert {plan[0][3] for plan in plans} == {by_index}
