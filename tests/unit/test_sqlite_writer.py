"""The writer of an engine on SQLite: one connection for all transactions, until an error or the end of the engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, QueuePool, event
from sqlalchemy.exc import DBAPIError

from shared.errors import AlreadyExists, StoreUnavailable
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path}/store.db")
    with Store(opened).begin() as tx:
        tx.connection.exec_driver_sql("CREATE TABLE counted (name TEXT PRIMARY KEY, number INTEGER NOT NULL)")
        tx.connection.exec_driver_sql("INSERT INTO counted VALUES ('a', 0)")
    yield opened
    opened.dispose()


def _add_one(store: Store) -> None:
    with store.begin() as tx:
        number = _number(tx.connection)
        tx.connection.exec_driver_sql("UPDATE counted SET number = ?", (number + 1,))


def _number(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT number FROM counted WHERE name = 'a'").scalar_one())


def test_threads_and_stores_write_by_turns_on_one_connection(engine: Engine) -> None:
    made: list[object] = []
    event.listen(engine, "connect", lambda connection, _: made.append(connection))
    stores = [Store(engine), Store(engine)]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(_add_one, stores * 50))

    with stores[0].read() as tx:
        assert _number(tx.connection) == 100
    assert made == [], "the connection of the fixture's transaction was kept"


def test_after_an_error_the_connection_goes_back_to_the_pool(engine: Engine) -> None:
    store, pool = Store(engine), engine.pool
    assert isinstance(pool, QueuePool)

    with pytest.raises(AlreadyExists), store.begin() as tx:
        tx.connection.exec_driver_sql("UPDATE counted SET number = 7")
        tx.connection.exec_driver_sql("INSERT INTO counted VALUES ('a', 8)")

    assert pool.checkedout() == 0
    _add_one(store)
    with store.read() as tx:
        assert _number(tx.connection) == 1, "what the failed transaction wrote is gone"


def test_a_connection_that_broke_is_replaced(engine: Engine) -> None:
    store = Store(engine)

    with pytest.raises(DBAPIError, match="closed"), store.begin() as tx:
        driver = tx.connection.connection.dbapi_connection
        assert driver is not None
        driver.close()
        tx.connection.exec_driver_sql("UPDATE counted SET number = 7")

    _add_one(store)
    with store.read() as tx:
        assert _number(tx.connection) == 1


def test_writes_go_on_once_the_disk_has_room_again(engine: Engine) -> None:
    store = Store(engine)

    with pytest.raises(StoreUnavailable, match="full"), store.begin() as tx:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        tx.connection.exec_driver_sql("INSERT INTO counted VALUES (hex(zeroblob(100000)), 0)")
    with store.read() as tx:
        tx.connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    _add_one(store)
    with store.read() as tx:
        assert _number(tx.connection) == 1


def test_dispose_closes_the_connection_so_that_the_log_is_written_back(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "store.db-wal"
    _add_one(Store(engine))
    assert log.stat().st_size > 0

    engine.dispose()

    assert not log.exists(), "SQLite removes it when the last connection is closed"
    _add_one(Store(engine))


def test_an_engine_may_be_disposed_while_a_transaction_is_open(engine: Engine) -> None:
    store = Store(engine)

    with store.begin() as tx:
        engine.dispose()
        tx.connection.exec_driver_sql("UPDATE counted SET number = 7")

    with store.read() as tx:
        assert _number(tx.connection) == 7
