"""How many rows Postgres looks at for reads of a gateway, whose cost must follow from what they return."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.store.reads.reader import AuditFilter, Reads
from shared.store.reads.rows import QueuePlace
from tests.conformance.counted_rows import RowsOf, counted_rows
from tests.harness.servers import PostgresServer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ENDED, RUNNING, WAITING, QUEUED, CALLED, FIRES = 20_000, 3000, 400, 5000, 20_000, 20_000
HISTORY = """
    INSERT INTO specs VALUES ('h', 'steps: []', now());
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at, queued_at, started_at)
        SELECT n, 'dag-' || n % 100, n, 'h', CASE WHEN n <= :ended THEN 'succeeded' ELSE 'running' END, 1, 2, 1, 'q',
               '', '[]', '[]', CAST(:now AS timestamptz) + n * interval '1 second', now(), now()
        FROM generate_series(1, :ended + :running) n;
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          priority, given, params, env, created_at, queued_at)
        SELECT 'queued-' || n, 'dag-' || n % 100, 'queued-' || n, 'h', 'queued', 1, 2, 1, 'long',
               CAST(n % 3 = 0 AS int), '', '[]', '[]', CAST(:now AS timestamptz),
               CAST(:now AS timestamptz) + n / 10 * interval '1 second'
        FROM generate_series(1, :queued) n;
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, root_key, parent_key, spec_hash, status, version, last_seq,
                          run_attempt, queue, given, params, env, created_at, started_at, finished_at)
        SELECT 'called-' || n, 'called', n, nullif(n::text, '0'), nullif(n::text, '0'), 'h', 'succeeded', 1, 2, 1, 'q',
               '', '[]', '[]', CAST(:now AS timestamptz) + n * interval '1 second', now(), now()
        FROM generate_series(0, :called) n;
    INSERT INTO nodes (run_key, idx, kind, name, status, number, retry_count, done_count, error, stdout, stderr,
                       outputs, admission)
        SELECT n, 0, 'step', 's', CASE WHEN n <= :ended THEN 'succeeded' ELSE 'not_started' END, 1, 0, 1, '', '', '',
               '{}', CASE WHEN n <= :ended THEN '' ELSE 'waits' END
        FROM generate_series(1, :ended + :running) n;
    INSERT INTO pool_waits
        SELECT :ended + n, 0, 'lock', 'm', 0, 0, CAST(:now AS timestamptz) + n * interval '1 second', now()
        FROM generate_series(1, :waiting) n;
    INSERT INTO audit (id, at, actor_kind, actor_id, actor_name, actor_role, address, request_id, command_id, operation,
                       target_kind, target_name, target_id, outcome, code, occurrences, before, after)
        SELECT n, CAST(:now AS timestamptz) + n * interval '1 second', 'user', n % 100 + n / 10001 * 100,
               'user-' || n % 100 + n / 10001 * 100, 'admin', '', '', '',
               CASE WHEN n % 5000 = 7 THEN 'stop' ELSE 'start' END, 'run', 'dag-' || n % 100 + n / 10001 * 100, n,
               CASE WHEN n % 100 = 7 THEN 'refused' ELSE 'done' END,
               CASE WHEN n % 5000 = 7 THEN 'not_found' WHEN n % 100 = 7 THEN 'forbidden' ELSE '' END, 1, '{}', '{}'
        FROM generate_series(1, :ended) n;
    INSERT INTO cron_slots (file_name, kind, slot_at, expression, outcome, reason, dag_name, decided_at)
        SELECT 'dag-' || n % 100, 'start', CAST(:now AS timestamptz) + n / 100 * interval '1 hour', '0 * * * *',
               'fired', '', 'd', now()
        FROM generate_series(1, :fires) n;
    INSERT INTO audit_links SELECT n, n, '', '' FROM generate_series(1, :ended) n;
    ANALYZE
"""


@pytest.fixture(scope="module")
def rows_of(_postgres: PostgresServer) -> Iterator[RowsOf]:
    """Return a function that returns how many rows the statements of a read look at, in all steps of their plans."""
    values = {"now": NOW, "ended": ENDED, "running": RUNNING, "waiting": WAITING, "queued": QUEUED, "called": CALLED}
    with counted_rows(_postgres, HISTORY, values | {"fires": FIRES}) as rows:
        yield rows


def test_a_line_for_a_lock_is_counted_once_for_all_runs_in_it(rows_of: RowsOf) -> None:
    keys = [str(ENDED + n) for n in range(1, WAITING + 1)]

    states = rows_of(lambda reads: reads.node_states_of(keys))

    # To count for each run who is before it would read 80,000.
    assert states < 20 * WAITING


def test_the_users_of_a_pool_are_named_without_a_walk_over_all_runs(rows_of: RowsOf) -> None:
    assert rows_of(lambda reads: reads.pools(NOW, {("lock", "m")})) < 5 * WAITING


@pytest.mark.parametrize(
    ("ask", "most"),
    [
        (lambda reads: [reads.run("called", "latest")], 100),
        (lambda reads: reads.recent_runs("called"), 100),
        (lambda reads: reads.runs(dag_name="called"), 100),
        (lambda reads: reads.ended_runs("called", limit=9), 100),
        # It ranks the running runs of all DAGs.
        (lambda reads: reads.latest_runs(["called"]), 3 * RUNNING + 1000),
    ],
    ids=["latest", "recent", "list", "statistics", "latest of each"],
)
def test_the_root_runs_of_a_dag_are_found_without_its_sub_runs(
    rows_of: RowsOf, ask: Callable[[Reads], Sequence[object]], most: int
) -> None:
    """One run of the DAG was started by itself, before all the others."""
    found: list[int] = []

    assert rows_of(lambda reads: found.append(len(ask(reads)))) < most
    assert found == [1]


def test_steps_that_wait_for_approval_are_sought_among_the_active_runs(rows_of: RowsOf) -> None:
    # With 200,000 ended runs, Postgres neither combines indexes nor reads the whole table of its own accord either.
    setting = "SET enable_bitmapscan = off; SET enable_seqscan = off"

    found = rows_of(lambda reads: reads.waiting_steps(limit=200), setting)

    # With the sub-runs of all runs that have ended it would read 3000 more.
    assert found < 8 * RUNNING


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (AuditFilter(operation="stop"), 4),
        (AuditFilter(operation="none"), 0),
        (AuditFilter(outcome="not_found"), 4),
        (AuditFilter(outcome="refused"), 5),
        (AuditFilter(outcome="none"), 0),
        (AuditFilter(outcome="done"), 5),
    ],
)
def test_rare_operations_and_refusals_are_found_without_a_walk_over_the_log(
    rows_of: RowsOf, asked: AuditFilter, found: int
) -> None:
    counts = []

    assert rows_of(lambda reads: counts.append(len(reads.audit(asked, limit=5)))) < 1000
    assert counts == [found]


@pytest.mark.parametrize(
    "asked", [AuditFilter(actor="user-7"), AuditFilter(target="dag-7"), AuditFilter(actor="user-7", target="dag-7")]
)
def test_what_somebody_did_long_ago_is_found_without_a_walk_over_the_log(rows_of: RowsOf, asked: AuditFilter) -> None:
    # The first half of the log is by 100 users, 100 entries each.
    assert rows_of(lambda reads: reads.audit(asked, limit=5)) < 1000


@pytest.mark.parametrize("behind", [0, 4000])
def test_a_page_of_a_long_queue_reads_that_page(rows_of: RowsOf, behind: int) -> None:
    place = QueuePlace(0, NOW + timedelta(seconds=behind / 10), f"queued-{behind}") if behind else None

    assert rows_of(lambda reads: reads.queued_runs("long", after=place, limit=50)) < 1000


def test_the_runs_of_a_long_queue_are_counted_and_not_ranked(rows_of: RowsOf) -> None:
    counted = rows_of(lambda reads: reads.queues(limit=0))

    # The running ones are ranked. They are few as a rule.
    assert rows_of(lambda reads: reads.queues(limit=50)) - counted < 4 * RUNNING


def test_the_fires_of_a_month_are_counted_in_one_pass(rows_of: RowsOf) -> None:
    # 100 DAGs are due in each hour.
    counted = rows_of(lambda reads: reads.fire_counts(NOW + timedelta(hours=1), NOW + timedelta(days=31)))

    assert FIRES // 2 < counted < FIRES + FIRES // 10


def test_a_part_as_long_as_an_id_is_sought_without_a_walk_over_the_history(rows_of: RowsOf) -> None:
    assert rows_of(lambda reads: reads.runs(id_part="0" * 36)) < 10
