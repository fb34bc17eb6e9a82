"""``python -m bench.pooler``: 1,000 connections of gateways and schedulers through one PgBouncer in transaction mode.

49 gateways with 20 connections each read runs, and two schedulers with 10 each start runs. All connections stay open,
and each is used every four seconds or so. Postgres (with fsync), PgBouncer and all clients share the machine.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import closing
from zoneinfo import ZoneInfo

import psycopg2
from sqlalchemy import Engine

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.actors import Actor
from shared.contracts.codec import VERSION, Envelope
from shared.errors import DagwayError
from shared.ids import new_run_id
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.reader import Reads
from shared.store.writes.transaction import Store
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.servers import PostgresServer
from tests.harness.servers.pgbouncer import PgBouncer

GATEWAYS, READERS = 49, 20
SCHEDULERS, WRITERS = 2, 10
SECONDS, PAUSE_S = 30.0, 4.0
POOL = 20
"""PgBouncer's default: how many connections to Postgres it opens for one user of one database."""
ANYBODY = Actor(kind="anonymous", id="anonymous", name="anonymous", role="admin", address="192.0.2.1", request_id="r")


class _Clients:
    """Threads with a connection each, all of which are open before the first does something."""

    def __init__(self, count: int) -> None:
        self._open = threading.Barrier(count + 1)
        self._threads: list[threading.Thread] = []
        self._ends = 0.0
        self.took_ms: dict[str, list[float]] = {"read": [], "write": []}
        self.errors: list[str] = []

    def add(self, kind: str, engine: Engine, action: Callable[[], object]) -> None:
        """Start a client of ``engine``."""
        self._threads.append(threading.Thread(target=self._work, args=(kind, engine, action)))
        self._threads[-1].start()

    def _work(self, kind: str, engine: Engine, action: Callable[[], object]) -> None:
        dice = random.Random()
        with engine.connect():
            self._open.wait()
        self._open.wait()
        while time.perf_counter() < self._ends:
            time.sleep(dice.uniform(0, 2 * PAUSE_S))
            began = time.perf_counter()
            try:
                action()
            except DagwayError as error:
                self.errors.append(f"{kind}: {error}")
            else:
                self.took_ms[kind].append((time.perf_counter() - began) * 1000)

    def run(self, meanwhile: Callable[[], None]) -> None:
        """Let all clients work for ``SECONDS``, and call ``meanwhile`` twice a second."""
        self._open.wait()
        self._ends = time.perf_counter() + SECONDS
        self._open.wait()
        while time.perf_counter() < self._ends:
            meanwhile()
            time.sleep(0.5)
        for thread in self._threads:
            thread.join()


def _command(body: c.Command) -> Envelope:
    return Envelope(v=VERSION, type=body.type, id=new_run_id(), at=utc_now(), body=body)


def _start(parts: Assembly, run_id: str) -> None:
    start = _command(c.StartRun(actor=ANYBODY, file_name="d", dag_run_id=run_id, by="anonymous"))
    parts.transactor.decide(lambda batch: carry_out(batch, [start]))


def main() -> None:
    """Open all connections, use them, and print rates, times and how many connections Postgres had."""
    count = GATEWAYS * READERS + SCHEDULERS * WRITERS
    with PostgresServer(fsync=True) as postgres, PgBouncer(postgres, clients=count + 10, pool=POOL) as pooler:
        direct = postgres.create_database()
        migrate(direct)
        url = pooler.url_of(direct)
        writing = [open_engine(url, pool_size=WRITERS) for _ in range(SCHEDULERS)]
        transport = EmbeddedTransport(None)
        parts = [
            Assembly(Store(engine), transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")) for engine in writing
        ]
        create = _command(c.CreateDag(actor=ANYBODY, file_name="d", spec="steps:\n  - echo one\n"))
        parts[0].transactor.decide(lambda batch: carry_out(batch, [create]))
        _start(parts[0], "first")
        clients = _Clients(count)
        reading = [open_engine(url, pool_size=READERS, read_only=True) for _ in range(GATEWAYS)]
        for engine in reading:
            reads = Reads(engine)
            for _ in range(READERS):
                clients.add("read", engine, lambda reads=reads: reads.run("d", "first"))  # type: ignore[misc]
        for engine, one in zip(writing, parts, strict=True):
            for _ in range(WRITERS):
                clients.add("write", engine, lambda one=one: _start(one, new_run_id()))  # type: ignore[misc]
        held: list[int] = []
        with closing(psycopg2.connect(postgres.url)) as watcher, watcher.cursor() as cursor:
            watcher.autocommit = True

            def count_sessions() -> None:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (direct.rsplit("/", 1)[1],))
                held.extend(number for (number,) in cursor.fetchall())

            clients.run(count_sessions)
        for engine in [*reading, *writing]:
            engine.dispose()
    print(f"{count} client connections, {max(held)} connections to Postgres at most, {len(clients.errors)} errors")
    for kind, took in clients.took_ms.items():
        cuts = statistics.quantiles(took, n=100)
        print(f"{kind:5} {len(took) / SECONDS:.0f}/s, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")
    for error in clients.errors[:5]:
        print(error)


if __name__ == "__main__":
    main()
