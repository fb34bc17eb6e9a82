"""The simulated database: the real store on SQLite, with time, delays and outages of the simulation.

Transactions of all schedulers run one after the other, as SQLite has one writer. So two transactions meet in the
versions of runs that schedulers keep in memory, not in locks of rows.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from shared.clock import utc_now
from shared.errors import StoreUnavailable
from shared.store.create_schema import create_schema
from shared.store.engine import open_engine
from shared.store.migrate import HEAD
from shared.store.writes.transaction import Store, Transaction
from tests.simulation.imports import EPOCH
from tests.simulation.kernel import Host, Kernel
from tests.simulation.threads import Lock

__all__ = ["Database", "SimulatedStore"]

_MEASURE_EVERY_S = 1.0
_TURN_S = 0.0005
_AWAY_S = 0.5


class Database:
    """One database on a file. ``now`` is its time: the true one."""

    def __init__(self, kernel: Kernel, folder: Path, rng: random.Random) -> None:
        self.kernel, self._rng = kernel, rng
        self._file = folder / "dagway.db"
        url = create_schema(self._file)
        self.engine = open_engine(url, pool_size=4)
        self.reader = open_engine(url, pool_size=2, read_only=True)
        for engine in (self.engine, self.reader):
            event.listen(engine, "connect", self._prepare)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        self.away = False
        self.slow_s = 0.0
        self.fail_commits = 0.0
        """How often a commit fails; in half of these cases it has happened all the same."""
        self.failed_over = False
        """Whether commits were lost, which the replica that took over did not have."""
        self.on_commit: Callable[[Host], None] = lambda _host: None
        """Called right before and right after a commit."""
        self._turn = Lock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(EPOCH + self.kernel.now_s, UTC)

    def _prepare(self, connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        # The simulation crashes processes, never the machine.
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()
        connection.create_function("strftime", 2, self._strftime)

    def _strftime(self, _form: str, _when: str) -> str:
        return self.now().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    @contextmanager
    def turn(self, host: Host) -> Iterator[None]:
        """Wait for the turn of one transaction. Raises ``StoreUnavailable`` while the database is away."""
        self._wait(_TURN_S)
        if self.away:
            self.kernel.park(_AWAY_S * self._rng.random())
            raise StoreUnavailable("the database is away")
        with self._turn:
            host.pinned += 1
            try:
                yield
            finally:
                host.pinned -= 1

    def _wait(self, mean_s: float) -> None:
        self.kernel.park(self._rng.expovariate(1.0 / (mean_s + self.slow_s)))

    def before_commit(self, host: Host) -> None:
        self.on_commit(host)
        if self.away or (self._rng.random() < self.fail_commits / 2):
            raise StoreUnavailable("the connection was lost before the commit")

    def after_commit(self, host: Host) -> None:
        self.kernel.note(f"{host.name} commit")
        self.on_commit(host)
        if self._rng.random() < self.fail_commits / 2:
            raise StoreUnavailable("the connection was lost during the commit")

    def fail_over(self, lag_s: float, away_s: float) -> None:
        """Lose the commits of the next ``lag_s``: a replica without them takes over, ``away_s`` after that.

        Nobody's connection breaks in use: who needs the database again simply gets a new one.
        """
        replica = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(self._file)) as primary:
            primary.backup(replica)

        def end() -> None:
            self.away = away_s > 0
            self.kernel.after(away_s, take_over)

        def take_over() -> None:
            if self._turn.locked():
                self.kernel.after(_TURN_S, take_over)
                return
            self.engine.dispose()
            self.reader.dispose()
            with closing(sqlite3.connect(self._file)) as primary, closing(replica):
                replica.backup(primary)
            self.kernel.note("failover")
            self.failed_over, self.away = True, False

        self.kernel.after(lag_s, end)

    def close(self) -> None:
        self.engine.dispose()
        self.reader.dispose()


class SimulatedStore(Store):
    """The store of one scheduler."""

    def __init__(self, database: Database, host: Host) -> None:
        super().__init__(database.engine, utc_now)
        self._database, self._host = database, host
        self._measured_s = float("-inf")

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        database, host = self._database, self._host
        with database.turn(host):
            with super().begin() as tx:
                if database.kernel.now_s - self._measured_s >= _MEASURE_EVERY_S:
                    self._measured_s = database.kernel.now_s
                    self.clock.measure(database.now)
                yield tx
                database.before_commit(host)
            database.after_commit(host)
