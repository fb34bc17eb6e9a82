"""Several processes may open a new SQLite database at the same time."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from shared.store import sqlite_log
from shared.store.sqlite_log import use_write_ahead_log

_TOGETHER = 8
_DATABASES = 200
"""SQLite refuses one of eight at once in about 3 of 100 new databases."""


def test_connections_that_open_a_new_database_together_all_get_it(tmp_path: Path) -> None:
    begin = Barrier(_TOGETHER)

    def mode(path: Path) -> str:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            begin.wait()
            use_write_ahead_log(connection)
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    with ThreadPoolExecutor(_TOGETHER) as pool:
        modes = {
            each for number in range(_DATABASES) for each in pool.map(mode, [tmp_path / f"{number}.db"] * _TOGETHER)
        }

    assert modes == {"wal"}


def test_a_database_that_stays_locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "LOCK_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with (
            closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            use_write_ahead_log(other)
