"""The scheduler's unit of work: find and lock rows, then write a whole batch.

Contains no rules of runs. Runs are always locked in the order of their keys, so two schedulers that want the same
runs wait for each other instead of deadlocking. A commit makes all writes visible together.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, event

from shared.clock import utc_now
from shared.errors import RowsLocked, StoreUnavailable
from shared.store.clock import StoreClock
from shared.store.engine import is_postgres, one_statement, store_errors
from shared.store.sqlite_writer import SqliteWriter
from shared.store.writes.accounts import AccountWrites
from shared.store.writes.audit import AuditWrites
from shared.store.writes.base import Writer
from shared.store.writes.bulk import Part, write
from shared.store.writes.children import ChildReads
from shared.store.writes.commands import CommandWrites
from shared.store.writes.dags import DagWrites
from shared.store.writes.dead_letters import DeadLetterWrites
from shared.store.writes.executions import ExecutionWrites
from shared.store.writes.history import HistoryWrites
from shared.store.writes.leases import LeaseWrites
from shared.store.writes.login_failures import LoginFailureWrites
from shared.store.writes.outbox import OutboxWrites
from shared.store.writes.pauses import PauseWrites
from shared.store.writes.pending_work import PendingWorkReads
from shared.store.writes.pools import PoolWrites
from shared.store.writes.progress import ProgressWrites
from shared.store.writes.queues import QueueWrites
from shared.store.writes.run_totals import RunTotalsWrites
from shared.store.writes.runs import RunWrites
from shared.store.writes.schedules import ScheduleWrites
from shared.store.writes.secrets import SecretWrites
from shared.store.writes.services import ServiceWrites
from shared.store.writes.specs import SpecWrites
from shared.store.writes.timers import TimerWrites
from shared.store.writes.workspaces import WorkspaceWrites

__all__ = ["Store", "Transaction"]

W = TypeVar("W", bound=Writer)


class Store:
    """Opens write transactions on one engine. ``clock`` returns the database's time; ``own`` is the host's clock."""

    def __init__(self, engine: Engine, own: Callable[[], datetime] = utc_now) -> None:
        self.engine = engine
        self.clock = StoreClock(own)
        self.away = False
        """Whether the database was unavailable to the last transaction."""
        self._begin = engine.begin if is_postgres(engine) else SqliteWriter.of(engine).begin
        self._read = partial(one_statement, engine) if is_postgres(engine) else self._begin

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever a new connection to the database was made, before its first use.

        A primary that takes over after a failover is reached by new connections only, unless a pooler is between.
        """
        event.listen(self.engine, "connect", lambda *_: callback())

    @contextmanager
    def begin(self) -> Iterator["Transaction"]:
        """Run the block in one transaction.

        Raises:
            StoreUnavailable, AlreadyExists, InvariantBroken: see ``store_errors``.
        """
        try:
            with store_errors(), self._begin() as connection:
                self.clock.follow(connection)
                yield Transaction(connection)
        except RowsLocked:
            raise
        except StoreUnavailable:
            self.away = True
            raise
        self.away = False

    @contextmanager
    def read(self) -> Iterator["Transaction"]:
        """Run a block that sends a single SELECT: on Postgres one round trip, where ``begin`` needs three.

        Raises:
            StoreUnavailable: see ``store_errors``.
        """
        with store_errors(), self._read() as connection:
            yield Transaction(connection)


def _part(kind: type[W]) -> "cached_property[W]":
    return cached_property(lambda transaction: kind(transaction.connection))


class Transaction:
    """One open transaction; do not use it after its ``with`` block. Each part is created at its first use."""

    accounts = _part(AccountWrites)
    audit = _part(AuditWrites)
    children = _part(ChildReads)
    commands = _part(CommandWrites)
    dags = _part(DagWrites)
    dead_letters = _part(DeadLetterWrites)
    executions = _part(ExecutionWrites)
    history = _part(HistoryWrites)
    leases = _part(LeaseWrites)
    pending_work = _part(PendingWorkReads)
    outbox = _part(OutboxWrites)
    pauses = _part(PauseWrites)
    pools = _part(PoolWrites)
    progress = _part(ProgressWrites)
    login_failures = _part(LoginFailureWrites)
    queues = _part(QueueWrites)
    run_totals = _part(RunTotalsWrites)
    runs = _part(RunWrites)
    schedules = _part(ScheduleWrites)
    secrets = _part(SecretWrites)
    services = _part(ServiceWrites)
    specs = _part(SpecWrites)
    timers = _part(TimerWrites)
    workspaces = _part(WorkspaceWrites)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote if it raises, without ending the transaction."""
        with self.connection.begin_nested():
            yield

    def write(self, *parts: Part) -> int:
        """Write rows of any tables, on Postgres in one round trip; return the number of rows of the last part."""
        return write(self.connection, *parts)
