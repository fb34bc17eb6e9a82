"""Postgres keeps a connection and answers nothing on it, in a process with threads."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from shared.errors import StoreUnavailable
from shared.store.engine import open_engine, store_errors, transaction, without_time_limit
from shared.store.time_limits import TimeLimits

_PID = text("SELECT pg_backend_pid()")


@pytest.fixture
def limited(database_url: str) -> Iterator[Engine]:
    """An engine whose statements may wait for 4 s: for 1 s, and the grace."""
    engine = open_engine(database_url, limits=TimeLimits(statement_s=1))
    yield engine
    engine.dispose()


@contextmanager
def frozen(connection: Connection) -> Iterator[None]:
    """Stop the session of a connection."""
    pid = connection.execute(_PID).scalar_one()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_statement_without_an_answer_is_given_up_and_a_new_connection_serves(
    limited: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pytest.raises(StoreUnavailable),
        transaction(limited) as connection,
        frozen(connection),
    ):
        connection.execute(_PID)

    (line,) = [record.__dict__ for record in caplog.records if record.message == "database.hangs"]
    assert (line["error"], line["connections"]) == ("no answer from the database within 4 s", 1)
    with transaction(limited) as connection:
        assert connection.execute(_PID).scalar_one()


def test_a_commit_without_an_answer_is_given_up(limited: Engine) -> None:
    with pytest.raises(StoreUnavailable), store_errors(), closing(limited.connect()) as connection:
        connection.execute(text("CREATE TABLE kept (name text)"))
        with frozen(connection):
            connection.commit()


def test_a_statement_without_a_limit_is_not_given_up(limited: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with transaction(limited) as connection:
        without_time_limit(connection)
        connection.execute(text("SELECT pg_sleep(6)"))
        assert connection.execute(_PID).scalar_one()
    assert [record for record in caplog.records if record.message == "database.hangs"] == []


def test_a_connection_that_was_closed_meanwhile_can_be_cut(limited: Engine) -> None:
    link: Any = limited.raw_connection().driver_connection
    link.close()

    link.cut()
