"""What Postgres and SQLite both guarantee."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from shared.errors import AlreadyExists, ConfigInvalid, InvariantBroken, RowsLocked, StoreUnavailable
from shared.store import tables as t
from shared.store.engine import for_update, insert_ignore, is_postgres, open_engine, transaction
from shared.store.functions import bytewise
from shared.store.migrate import migrate
from shared.store.queries.matching import contains, has_element
from shared.store.time_limits import TimeLimits
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add, add_dag, after
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.servers import PostgresServer


def _in_threads(count: int, work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work) for _ in range(count)]:
            future.result()


def _count(engine: Engine) -> int:
    with transaction(engine) as connection:
        return connection.execute(select(func.count()).select_from(t.queues)).scalar_one()


def test_no_update_is_lost_between_threads(engine: Engine) -> None:
    add(engine, t.queues, {"name": "q", "kind": "global", "max_concurrency": 0})

    def add_one_25_times() -> None:
        for _ in range(25):
            with transaction(engine) as connection:
                query = for_update(select(t.queues.c.max_concurrency).where(t.queues.c.name == "q"))
                seen = connection.execute(query).scalar_one()
                connection.execute(update(t.queues).values(max_concurrency=seen + 1))

    _in_threads(8, add_one_25_times)

    with transaction(engine) as connection:
        assert connection.execute(select(t.queues.c.max_concurrency)).scalar_one() == 200


def test_rows_taken_with_skip_locked_are_taken_once(engine: Engine) -> None:
    add(engine, t.queues, *({"name": f"q{number:02}", "kind": "global"} for number in range(60)))
    taken: list[str] = []

    def take_until_empty() -> None:
        while True:
            with transaction(engine) as connection:
                some = select(t.queues.c.name).order_by(t.queues.c.name).limit(4)
                names = connection.execute(for_update(some, skip_locked=True)).scalars().all()
                connection.execute(delete(t.queues).where(t.queues.c.name.in_(names)))
            if not names:
                return
            taken.extend(names)

    _in_threads(4, take_until_empty)

    assert sorted(taken) == [f"q{number:02}" for number in range(60)]


def test_a_block_that_raises_is_rolled_back(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), transaction(engine) as connection:
        connection.execute(insert(t.queues), {"name": "q", "kind": "global"})
        _ = 1 / 0

    assert _count(engine) == 0


def test_a_read_only_engine_refuses_every_write(engine: Engine, reader: Engine) -> None:
    add(engine, t.queues, {"name": "q", "kind": "global"})

    for statement in (
        insert(t.queues).values(name="other", kind="global"),
        update(t.queues).values(kind="other"),
        delete(t.queues),
    ):
        with pytest.raises(DBAPIError), transaction(reader) as connection:
            connection.execute(statement)
    with pytest.raises(DBAPIError), transaction(reader) as connection:
        connection.exec_driver_sql("CREATE TABLE more (x INTEGER)")

    assert _count(reader) == 1


def test_the_queries_of_one_read_see_one_snapshot(engine: Engine, reader: Engine) -> None:
    with transaction(reader) as connection:
        before = connection.execute(select(func.count()).select_from(t.queues)).scalar_one()
        add(engine, t.queues, {"name": "q", "kind": "global"})
        then = connection.execute(select(func.count()).select_from(t.queues)).scalar_one()

    assert (before, then, _count(reader)) == (0, 0, 1)


@pytest.mark.parametrize("moment", [NOW, NOW.astimezone(timezone(timedelta(hours=9))), NOW.replace(microsecond=0)])
def test_datetimes_come_back_as_the_same_moment_in_utc(engine: Engine, moment: datetime) -> None:
    add(engine, t.specs, {"hash": "h", "yaml": "", "created_at": moment})

    with transaction(engine) as connection:
        found = connection.execute(select(t.specs.c.created_at)).scalar_one()

    assert found == moment
    assert found.utcoffset() == timedelta(0)


def test_a_datetime_without_zone_is_refused(engine: Engine) -> None:
    with pytest.raises(Exception, match="naive datetime"):
        add(engine, t.specs, {"hash": "h", "yaml": "", "created_at": NOW.replace(tzinfo=None)})


def test_insert_ignore_leaves_out_taken_keys_and_returns_those_inserted(engine: Engine) -> None:
    add(engine, t.queues, {"name": "a", "kind": "global"})

    with transaction(engine) as connection:
        statement = insert_ignore(connection, t.queues).returning(t.queues.c.name)
        went_in = (
            connection.execute(statement, [{"name": "a", "kind": "x"}, {"name": "b", "kind": "x"}]).scalars().all()
        )
        kinds = {row.name: row.kind for row in connection.execute(select(t.queues))}

    assert went_in == ["b"]
    assert kinds == {"a": "global", "b": "x"}


@pytest.mark.parametrize(
    ("text", "hit"), [("v1.2", True), ("V1.2", False), ("1_2", False), ("%", False), ("'", False), ("", True)]
)
def test_contains_is_exact(engine: Engine, text: str, hit: bool) -> None:
    add_dag(engine, "deploy-v1.2.3")

    with transaction(engine) as connection:
        found = connection.execute(select(t.dags.c.file_name).where(contains(t.dags.c.file_name, text))).all()

    assert bool(found) is hit


def test_has_element_finds_whole_elements(engine: Engine) -> None:
    add_dag(engine, "one", tags=["nightly", "größe"])
    add_dag(engine, "none")

    def having(tag: str) -> list[str]:
        with transaction(engine) as connection:
            query = select(t.dags.c.file_name).where(has_element(t.dags.c.tags, tag))
            return list(connection.execute(query).scalars())

    assert having("größe") == ["one"]
    assert having("night") == []


def test_bytewise_orders_by_code_point(engine: Engine) -> None:
    add(engine, t.queues, *({"name": name, "kind": "x"} for name in ("b", "a-b", "ab", "B", "a_b")))

    with transaction(engine) as connection:
        names = connection.execute(select(t.queues.c.name).order_by(bytewise(t.queues.c.name))).scalars().all()

    assert names == ["B", "a-b", "a_b", "ab", "b"]


def test_a_single_read_is_no_transaction_on_postgres_and_leaves_none_behind(engine: Engine, store_url: str) -> None:
    if not is_postgres(engine) or "pooler=transaction" in store_url:
        return  # Behind a pooler only a transaction has time limits: see test_store_pooler.
    alone = text("SELECT now() = statement_timestamp()")
    store = Store(engine)
    with store.read() as tx:
        tx.connection.execute(alone)
        assert tx.connection.execute(alone).scalar() is True, "the second statement began a transaction of its own"
    with store.begin() as tx:
        tx.connection.execute(alone)
        assert tx.connection.execute(alone).scalar() is False, "the connection is as it was"


def test_a_taken_key_raises_already_exists(engine: Engine) -> None:
    add(engine, t.queues, {"name": "q", "kind": "global"})

    with pytest.raises(AlreadyExists):
        add(engine, t.queues, {"name": "q", "kind": "global"})


def test_a_dangling_reference_raises_invariant_broken(engine: Engine) -> None:
    with pytest.raises(InvariantBroken):
        add(engine, t.dag_versions, {"file_name": "f", "version": 1, "spec_hash": "none", "at": NOW, "by": ""})


def test_an_error_in_our_sql_does_not_count_as_unavailable(engine: Engine) -> None:
    with pytest.raises(DBAPIError), transaction(engine) as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")


@pytest.mark.parametrize("synced", [True, False])
def test_a_commit_waits_for_the_disk_unless_the_database_ends_with_its_process(tmp_path: Path, synced: bool) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/store.db", synced=synced)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == (2 if synced else 0)
    engine.dispose()


def test_an_absent_database_raises_store_unavailable(tmp_path: Path) -> None:
    for url in (f"postgres://x:secret@127.0.0.1:{free_port()}/x", f"sqlite:///{tmp_path}/no/such/folder/x.db"):
        with pytest.raises(StoreUnavailable) as caught, transaction(open_engine(url)):
            pass
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://u:secret@h/d", "postgresql+psycopg://u:secret@h/d", "sqlite://", "secret"),
        *("postgresql://u:secret@h/d?pooler=session", "postgresql://u:secret@a:1,b:2/d"),
        *("postgresql://u:secret@/d?host=[::1]:1&host=[::2]:2", "postgresql://u:secret@/d?host=a,b,c&port=1,2"),
    ],
)
def test_an_invalid_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        open_engine(url)

    assert "secret" not in str(caught.value)


def test_a_writer_that_waits_too_long_gets_a_retryable_error(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/busy.db?timeout=0.01")

    with transaction(engine), pytest.raises(StoreUnavailable, match="locked"), transaction(engine):
        pass

    engine.dispose()


def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    engine = open_engine(database_url, limits=TimeLimits(statement_s=0.1))

    with pytest.raises(StoreUnavailable, match="statement timeout"), transaction(engine) as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    engine.dispose()


def test_a_locked_row_is_not_waited_for_longer_than_the_limit_and_not_at_all_with_nowait(database_url: str) -> None:
    migrate(database_url)
    engine = open_engine(database_url, limits=TimeLimits(lock_s=0.1))
    add(engine, t.queues, {"name": "a", "kind": ""})
    row = select(t.queues).where(t.queues.c.name == "a")

    with transaction(engine) as holder:
        holder.execute(for_update(row))
        for nowait in (False, True):
            with pytest.raises(RowsLocked), transaction(engine) as connection:
                connection.execute(for_update(row, nowait=nowait))
    engine.dispose()


def test_a_process_that_is_frozen_in_a_transaction_loses_its_locks(database_url: str) -> None:
    migrate(database_url)
    frozen = open_engine(database_url, limits=TimeLimits(idle_s=1))
    other = open_engine(database_url)
    add(other, t.queues, {"name": "a", "kind": ""})
    row = for_update(select(t.queues.c.name).where(t.queues.c.name == "a"))

    with pytest.raises(StoreUnavailable), transaction(frozen) as connection:
        connection.execute(row)
        with transaction(other) as heir:
            assert heir.execute(row).scalar_one() == "a"
        connection.execute(row)

    def goes_on() -> str:
        try:
            with transaction(frozen) as connection:
                return str(connection.execute(row).scalar_one())
        except StoreUnavailable as error:  # on a busy machine this one may be idle for a second too
            raise AssertionError(str(error)) from error

    assert eventually(goes_on) == "a"
    frozen.dispose()
    other.dispose()


def test_a_later_heartbeat_is_not_replaced_by_an_earlier_one(engine: Engine) -> None:
    store = Store(engine)
    row = {
        "worker_id": "w", "incarnation": "i", "host": "h", "version": "0", "labels": {}, "executors": [], "slots": 1,
        "busy": 0, "state": "live", "started_at": NOW,
    }  # fmt: skip
    for seconds, busy in ((0, 1), (20, 2), (10, 3), (20, 4)):
        heard_at = NOW + timedelta(seconds=seconds)
        with store.begin() as tx:
            tx.leases.put_workers([{**row, "busy": busy, "heartbeat_at": heard_at, "lease_until": heard_at}])

    with transaction(engine) as connection:
        (found,) = connection.execute(select(t.workers))
    assert (found.busy, found.heartbeat_at) == (4, NOW + timedelta(seconds=20))


def test_a_stores_clock_is_the_databases_on_postgres_and_the_hosts_on_sqlite(engine: Engine) -> None:
    store = Store(engine, own=lambda: datetime.now(UTC) + timedelta(hours=1))
    with store.begin():
        pass

    ahead_s = (store.clock() - datetime.now(UTC)).total_seconds()
    if is_postgres(engine):
        assert abs(ahead_s) < 60
        assert abs(store.clock.skew_s - 3600) < 60
    else:
        assert abs(ahead_s - 3600) < 60


def test_a_deadlock_is_a_retryable_error(database_url: str) -> None:
    migrate(database_url)
    engine = open_engine(database_url)
    add(engine, t.queues, {"name": "a", "kind": ""}, {"name": "b", "kind": ""})
    both_hold_one = Barrier(2)

    def lock(first: str, second: str) -> str:
        try:
            with transaction(engine) as connection:
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '20ms'")
                connection.execute(for_update(select(t.queues).where(t.queues.c.name == first)))
                both_hold_one.wait(PATIENCE_S)
                connection.execute(for_update(select(t.queues).where(t.queues.c.name == second)))
        except StoreUnavailable:
            return "again"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = [pool.submit(lock, "a", "b"), pool.submit(lock, "b", "a")]

    assert sorted(outcome.result() for outcome in outcomes) == ["again", "done"]
    engine.dispose()


@pytest.mark.parametrize("wanted", ["primary", "read-write"])
def test_reads_and_writes_find_the_primary_among_several_servers(postgres_server: PostgresServer, wanted: str) -> None:
    parts = urlsplit(postgres_server.create_database())
    url = f"postgresql://{parts.username}@{parts.path}?target_session_attrs={wanted}"
    ports = (free_port(), postgres_server.port)
    each_by_itself = "".join(f"&host=127.0.0.1:{port}" for port in ports)
    # Only in lists may a host be an address of IPv6.
    lists = f"&host=::1,127.0.0.1&port={ports[0]},{ports[1]}"

    for engine in (open_engine(url + each_by_itself), open_engine(url + lists, read_only=True)):
        with transaction(engine) as connection:
            assert connection.exec_driver_sql("SELECT inet_server_port()").scalar_one() == postgres_server.port
        engine.dispose()


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_the_pool_heals_after_one_error_when_postgres_comes_back(postgres_server: PostgresServer, end: str) -> None:
    engine = open_engine(postgres_server.create_database(), pool_size=4)
    with ExitStack() as open_at_once:
        for _ in range(4):
            open_at_once.enter_context(transaction(engine)).exec_driver_sql("SELECT 1")

    if end == "crash":
        postgres_server.kill()
        postgres_server.start()
    else:
        postgres_server.restart()

    with pytest.raises(StoreUnavailable), transaction(engine) as connection:
        connection.exec_driver_sql("SELECT 1")
    with ExitStack() as open_at_once:
        for _ in range(4):
            open_at_once.enter_context(transaction(engine)).exec_driver_sql("SELECT 1")
    engine.dispose()


def test_a_hundred_rows_are_inserted_with_one_call(engine: Engine) -> None:
    add(
        engine,
        t.outbox,
        *({"id": str(n), "route": ["x", n], "body": b"\0\xff", "created_at": after(n)} for n in range(100)),
    )

    with transaction(engine) as connection:
        rows = connection.execute(select(t.outbox).order_by(t.outbox.c.created_at)).all()

    assert [(row.id, row.route, bytes(row.body)) for row in rows] == [(str(n), ["x", n], b"\0\xff") for n in range(100)]
