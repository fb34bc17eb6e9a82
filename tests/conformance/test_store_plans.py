"""No read of the gateway scans the whole history: Postgres's plan for each read, on a history that is large enough."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from services.api.assembly import build_deps
from services.api.deps import Deps
from services.api.observability.dagu_metrics import render
from services.api.settings import Settings
from shared.status import RunStatus
from shared.store.engine import open_engine
from shared.store.reads.backlog import BacklogReads
from shared.store.reads.reader import (
    AttemptPlace,
    AuditFilter,
    AuditPlace,
    FirePlace,
    ListedRunRow,
    QueuePlace,
    Reads,
    RunName,
)
from shared.store.reads.stream import Place
from shared.store.writes.transaction import Store
from shared.transport.open import open_transport
from tests.harness.databases import gateways_url

# The transitions' transaction numbers are at most 0, so lower than those of any transaction of the server: the plans do
# not depend on how many other tests it served before.
HISTORY = """
    INSERT INTO specs VALUES ('h', 'steps: []', now());
    INSERT INTO dags (file_name, dag_name, spec_hash, version, summary, tags, errors, created_at, updated_at)
        SELECT 'dag-' || n, 'dag-' || n, 'h', 1, '{}', '[]', '[]', now(), now() FROM generate_series(0, 99) n;
    INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                          given, params, env, created_at, queued_at, started_at, finished_at)
        SELECT n, 'dag-' || n % 100, n, 'h', CASE WHEN n < 6000 THEN 'succeeded' WHEN n % 2 = 0 THEN 'running'
               ELSE 'queued' END, 1, 2, 1, 'q', '', '[]', '[]',
               CAST(:now AS timestamptz) + n * interval '1 second', now(), now(), now()
        FROM generate_series(1, 6020) n;
    INSERT INTO nodes (run_key, idx, kind, name, status, number, retry_count, done_count, error, stdout, stderr,
                       outputs)
        SELECT n, 0, 'step', 's', 'succeeded', 1, 0, 1, '', '', '', '{}' FROM generate_series(1, 6020) n;
    INSERT INTO transitions (run_key, seq, at, was, became, why, by, txid, pos)
        SELECT n, seq, now(), 'running', 'succeeded', '', '', n - 6020, seq
        FROM generate_series(1, 6020) n, generate_series(1, 2) seq;
    INSERT INTO audit (id, at, actor_kind, actor_id, actor_name, actor_role, address, request_id, command_id, operation,
                       target_kind, target_name, target_id, outcome, code, occurrences, before, after)
        SELECT n,
        CAST(:now AS timestamptz) + n * interval '1 second',
               'user', n % 1000, 'user-' || n % 1000, 'admin', '', '', '', 'start',
               'run', 'dag-' || n % 100, n, 'done', '', 1, '{}', '{}' FROM generate_series(1, 6020) n;
    INSERT INTO cron_slots (file_name, kind, slot_at, expression, outcome, reason, dag_name, decided_at)
        SELECT 'dag-' || n % 100, 'start',
        CAST(:now AS timestamptz) + n * interval '1 second', '* * * * *', 'fired', '', 'd', now()
        FROM generate_series(1, 6020) n;
    INSERT INTO audit_links SELECT n, n, '', '' FROM generate_series(1, 6020) n;
    ANALYZE
"""
LONG = frozenset({"dag_runs", "nodes", "transitions", "audit", "audit_links", "cron_slots"})
NOW = datetime.now(UTC)
LATE = NOW + timedelta(seconds=6000)
COUNTS_ALL = "metrics: first answer"
QUESTIONS: dict[str, Callable[[Reads], object]] = {
    COUNTS_ALL: lambda reads: reads.history(),
    "metrics: active": lambda reads: reads.active_counts(),
    "metrics: changes": lambda reads: reads.changes_since("6000:6000:"),
    "queues": lambda reads: reads.queues(),
    "queue": lambda reads: reads.queued_runs("q", limit=9),
    "queue: further": lambda reads: reads.queued_runs("q", after=QueuePlace(0, NOW, "7"), limit=9),
    "workers": lambda reads: reads.workers(),
    "runs": lambda reads: reads.runs(),
    "workspaces: usage": lambda reads: reads.usage("acme"),
    "runs: of a workspace": lambda reads: reads.within("acme").runs(),
    "runs: of the default workspace": lambda reads: reads.within("").runs(),
    "runs: rare status": lambda reads: reads.runs(status=RunStatus.ABORTED),
    "runs: oldest of a status": lambda reads: reads.runs(status=RunStatus.QUEUED, oldest_first=True, limit=50),
    "runs: of a dag": lambda reads: reads.runs(dag_name="dag-7"),
    "runs: of a dag, status": lambda reads: reads.runs(dag_name="dag-7", status=RunStatus.FAILED),
    "runs: of a queue": lambda reads: reads.runs_of_queue("q", queued=False),
    "runs: of a queue, further": lambda reads: reads.runs_of_queue("q", queued=True, behind=RunName("d", "7"), limit=9),
    "runs: where a search pauses": lambda reads: reads.search_end(most=100),
    "runs: where a search pauses, of a status": lambda reads: reads.search_end(status=RunStatus.FAILED, most=100),
    "runs: searched": lambda reads: reads.runs(search="none", down_to=ListedRunRow("", 0, LATE, "6000"), limit=100),
    "runs: of a whole id": lambda reads: reads.runs(run_id="6000"),
    "runs: of a part that is as long as an id": lambda reads: reads.runs(id_part="7" * 36),
    "runs: between": lambda reads: reads.runs(created_from=NOW, created_before=NOW),
    "runs: further": lambda reads: reads.runs(behind=ListedRunRow("", 0, NOW, "7"), limit=100),
    "runs: by key": lambda reads: reads.runs_by_key(["7", "8"]),
    "run": lambda reads: reads.run("dag-7", "7"),
    "run: latest": lambda reads: reads.run("dag-7", "latest"),
    "run: version": lambda reads: reads.run_version("dag-7", "7"),
    "run: version of the latest": lambda reads: reads.run_version("dag-7", "latest"),
    "attempts": lambda reads: reads.attempts("7"),
    "fires: of a dag": lambda reads: reads.fires("dag-7"),
    "fires: of a dag, further": lambda reads: reads.fires("dag-7", behind=FirePlace(NOW, "dag-7", "start")),
    "fires: of all, newest": lambda reads: reads.fires(limit=100),
    "fires: of all, further": lambda reads: reads.fires(behind=FirePlace(LATE, "dag-7", "start"), limit=100),
    "fires: of all, of a day": lambda reads: reads.fires(since=LATE, before=LATE + timedelta(days=1)),
    "fires: of all, few of which were missed": lambda reads: reads.fires(outcome="missed"),
    "fires: counted": lambda reads: reads.fire_counts(LATE, LATE + timedelta(days=1)),
    "attempts: of a step": lambda reads: reads.attempts("7", 0),
    "attempts: older": lambda reads: reads.attempts("7", 0, before=AttemptPlace(1, 7, NOW), limit=100),
    "attempts: how many": lambda reads: reads.attempt_counts("7"),
    "history": lambda reads: reads.recent_runs("dag-7"),
    "latest of each": lambda reads: reads.latest_runs(f"dag-{n}" for n in range(20)),
    "statistics: runs": lambda reads: reads.ended_runs("dag-7", limit=100),
    "statistics: steps": lambda reads: reads.ended_steps(["7", "107"], most=100),
    "stream": lambda reads: reads.changes(reads.newest_place(), limit=100),
    "stream: from its start": lambda reads: reads.changes(Place(-6020, 0), limit=100),
    "stream: seen to": lambda reads: reads.seen_to(Place(-1, 0)),
    "stream of a run": lambda reads: reads.changes_of("7", after_seq=0, limit=100),
    "log of a run": lambda reads: reads.transitions("7"),
    "waiting": lambda reads: reads.wait_facts(["7"], ["q"], NOW),
    "waiting: idle": lambda reads: reads.idle_runs(["7", "8"], NOW),
    "waiting: nodes": lambda reads: reads.node_states_of(["7", "8"]),
    "runs: at any depth": lambda reads: reads.runs_at_any_depth(["7", "8"]),
    "overview: past": lambda reads: reads.past_runs(NOW + timedelta(hours=25, minutes=39), limit=100),
    "overview: ended": lambda reads: reads.ended_counts(NOW + timedelta(hours=25, minutes=39)),
    "overview: steps that failed": lambda reads: reads.failed_steps(["7", "8"]),
    "overview: for a person": lambda reads: reads.waiting_steps(limit=100),
    "pauses": lambda reads: reads.pauses(NOW),
    "secrets": lambda reads: reads.secrets(),
    "dead letters": lambda reads: reads.dead_letters(501),
    "audit": lambda reads: reads.audit(AuditFilter(), limit=100),
    "audit: further": lambda reads: reads.audit(AuditFilter(), before=AuditPlace(NOW, "7"), limit=100),
    "audit: of an actor": lambda reads: reads.audit(AuditFilter(actor="user-7"), limit=100),
    "audit: of a target": lambda reads: reads.audit(AuditFilter(target="7"), limit=100),
    "audit: between": lambda reads: reads.audit(AuditFilter(since=NOW, until=NOW), limit=100),
}


@pytest.fixture
def store_url(migrated_database_url: str) -> str:
    """Postgres only; the tests of the reads check SQLite's plans."""
    return migrated_database_url


@pytest.fixture
def reader(store_url: str) -> Iterator[Engine]:
    """A read-only engine of the gateway's database user, whom policies limit.

    It prepares nothing, as if a pooler was between, so that SQLAlchemy shows every statement.
    """
    opened = open_engine(f"{gateways_url(store_url)}?pooler=transaction", read_only=True)
    yield opened
    opened.dispose()


def test_every_read_uses_an_index(engine: Engine, reader: Engine, reads: Reads) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    sent: list[tuple[Engine, str, object]] = []
    event.listen(
        reader, "before_cursor_execute", lambda c, _cursor, sql, values, *_: sent.append((c.engine, sql, values))
    )

    def walked(name: str, asking: Reads) -> list[str]:
        sent.clear()
        QUESTIONS[name](asking)
        asked = [each for each in sent if each[1].startswith(("SELECT", "WITH")) and "FROM" in each[1]]
        assert asked, name
        found = []
        for engine_of_workspace, sql, values in asked:
            with engine_of_workspace.connect() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN {sql}", values).scalars()  # type: ignore[arg-type]
                found += [line.strip() for line in plan for table in LONG if f"Seq Scan on {table} " in line]
        return found

    # Before a scheduler has kept totals; it shows that the test would notice another.
    assert {name for name in QUESTIONS if walked(name, reads)} == {COUNTS_ALL}
    assert {name for name in QUESTIONS if walked(name, reads.within(""))} == {COUNTS_ALL}

    with Store(engine).begin() as tx:
        tx.run_totals.keep()
    assert walked(COUNTS_ALL, reads) == []

    sent.clear()
    reads.within("acme").runs()
    [(of_acme, sql, values)] = [each for each in sent if "FROM" in each[1]]
    with of_acme.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN {sql}", values).scalars()  # type: ignore[arg-type]
        assert any("ix_dag_runs_workspace" in line for line in plan)


def test_a_prepared_read_uses_an_index_with_one_plan_for_all_values(engine: Engine, store_url: str) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    options = "?options=-c%20plan_cache_mode%3Dforce_generic_plan"
    generic = open_engine(f"{gateways_url(store_url)}{options}", read_only=True)
    reads = Reads(generic).within("")
    reads.run("dag-7", "7")
    reads.run("dag-7", "latest")
    reads.run_version("dag-7", "7")
    reads.run_version("dag-7", "latest")
    reads.sub_run("7", "8")
    reads.latest_runs(["dag-7", "dag-8"])

    with generic.connect() as connection:
        known = connection.exec_driver_sql(
            "SELECT name, cardinality(parameter_types), statement FROM pg_prepared_statements"
        ).all()
        plans = [
            "\n".join(connection.exec_driver_sql(f"EXPLAIN EXECUTE {name}({', '.join(['NULL'] * count)})").scalars())
            for name, count, _ in known
        ]
    generic.dispose()

    assert len(plans) == 6
    # For a LIMIT that is a parameter, Postgres plans again each time: one plan for all values seems to read many rows.
    assert [statement for _, _, statement in known if "LIMIT $" in statement] == []
    assert all("$1" in plan for plan in plans)
    assert [plan for plan in plans if any(f"Seq Scan on {table} " in plan for table in LONG)] == []


def _rows_read(plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each long table that a plan reads, with the number of rows or index entries that it looked at."""
    if (table := plan.get("Relation Name", "")) in LONG:
        looked_at = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield table, round(looked_at * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from _rows_read(below)


def test_no_statement_of_a_gateways_metrics_walks_over_the_runs(engine: Engine, reader: Engine, reads: Reads) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    sent: list[tuple[str, object]] = []
    transport = open_transport("embedded:", name="gateways")
    gateways = [build_deps(transport=transport, reads=reads, version="0", settings=Settings()) for _ in range(2)]

    def most_read(gateway: Deps) -> int:
        """Return how many rows of one table a page of metrics reads at most."""
        sent.clear()
        (succeeded,) = re.findall(
            rb'^dagu_dag_runs_total{status="succeeded"} (\S+)$', render(gateway, NOW), re.MULTILINE
        )
        assert float(succeeded) >= 5999
        asked = [(sql, values) for sql, values in sent if sql.startswith(("SELECT", "WITH")) and "FROM" in sql]
        with reader.connect() as connection:
            plans = [
                connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values).scalar_one()  # type: ignore[arg-type]
                for sql, values in asked
            ]
        read = [count for (plan,) in plans for _, count in _rows_read(plan["Plan"])]
        assert read, "the active runs are counted"
        return max(read)

    event.listen(reader, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))
    try:
        assert most_read(gateways[0]) > 5000, "before a scheduler has kept totals the history is counted"
        with Store(engine).begin() as tx:
            tx.run_totals.keep()
        first, next_one = most_read(gateways[1]), most_read(gateways[1])
    finally:
        for gateway in gateways:
            gateway.closing.set()
        transport.close()
    # 20 of the 6,020 runs are active.
    assert max(first, next_one) <= 20


def test_the_backlog_is_counted_without_the_history(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
        connection.execute(
            text(
                "UPDATE nodes SET token = run_key, token_state = 'dispatched',"
                " token_worker = CASE WHEN run_key::int % 2 = 0 THEN 'w' END WHERE run_key::int >= 6000"
            )
        )
        connection.execute(text("ANALYZE nodes"))
    sent: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))

    backlog = BacklogReads(engine).backlog(NOW)

    assert sum(each.count for each in backlog.open_attempts) == 21
    asked = [(sql, values) for sql, values in sent if sql.startswith("SELECT") and "FROM" in sql]
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values).scalar_one()  # type: ignore[arg-type]
            for sql, values in asked
        ]
    read = [(table, count) for (plan,) in plans for table, count in _rows_read(plan["Plan"])]
    assert {table for table, _ in read} == {"dag_runs", "nodes"}
    # 21 of 6,020 runs have an open attempt.
    assert max(count for _, count in read) <= 21


def test_a_scheduler_counts_the_active_runs_of_a_dag_without_the_history(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    sent: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))

    with Store(engine).begin() as tx:
        assert tx.runs.count_active("dag-10") == {"running": 1}
        assert tx.runs.count_active("dag-11") == {"queued": 1}

    assert _scans(engine, [(sql, values) for sql, values in sent if "FROM dag_runs" in sql], "dag_runs") == []


def test_tasks_that_are_sent_again_are_found_without_the_history(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in HISTORY.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
        connection.execute(text("UPDATE nodes SET token = run_key, token_state = 'dispatched' WHERE run_key = '6001'"))
    sent: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))

    with Store(engine).begin() as tx:
        assert tx.outbox.dispatched_again({"6001": "6001", "6002": "6002"}, NOW) == {"6001"}

    assert _scans(engine, [(sql, values) for sql, values in sent if "nodes" in sql], "nodes") == []


def _scans(engine: Engine, asked: list[tuple[str, object]], table: str) -> list[str]:
    """Return the lines of the plans of these statements that read the whole ``table``. There must be statements."""
    assert asked
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN {sql}", values).scalars().all()  # type: ignore[arg-type]
            for sql, values in asked
        ]
    return [line for plan in plans for line in plan if f"Seq Scan on {table}" in line]


def test_admission_reads_each_page_of_a_long_queue_from_where_the_page_before_it_ended(engine: Engine) -> None:
    queued = """
        INSERT INTO specs VALUES ('h', 'steps: []', now());
        INSERT INTO dag_runs (run_key, dag_name, dag_run_id, spec_hash, status, version, last_seq, run_attempt, queue,
                              given, params, env, created_at, queued_at)
            SELECT lpad(n::text, 4, '0'), 'd', n, 'h', 'queued', 1, 0, 1, 'q', '', '[]', '[]', now(),
            CAST(:now AS timestamptz) + n * interval '1 second' FROM generate_series(1, 2000) n;
        ANALYZE
    """
    with engine.begin() as connection:
        for statement in queued.split(";"):
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    sent: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values)))

    with Store(engine).begin() as tx:
        place = NOW + timedelta(seconds=1000), "1000"
        page = tx.queues.candidates("q", 0, beyond=place, without_dags=(), limit=50)

    assert [row["run_key"] for row in page] == [str(number) for number in range(1001, 1051)]
    [(sql, values)] = [each for each in sent if "FROM dag_runs" in each[0]]
    with engine.connect() as connection:
        [plan] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values).scalar_one()  # type: ignore[arg-type]
    assert sum(count for _, count in _rows_read(plan["Plan"])) < 200
