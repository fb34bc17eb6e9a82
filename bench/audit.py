"""``python -m bench.audit``: what the audit log costs a batch of commands, on Postgres with fsync.

Several threads, as several schedulers would, commit batches of commands that start runs. Compared in turns: without the
audit log; with it, linked by a loop beside the commits (as Dagway does, ADR 21); and with links in the commands' own
transaction, where each commit waits for the one before.
"""

import statistics
import threading
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

from sqlalchemy import text

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.plans import Plans
from shared.audit.chain import linked
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.actors import Actor
from shared.contracts.codec import VERSION, Envelope
from shared.ids import new_run_id
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.writes.audit import CHAIN_LOCK
from shared.store.writes.transaction import Store
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.servers import PostgresServer

THREADS, BATCH, SECONDS, ROUNDS = 4, 5, 2.0, 20
ANYBODY = Actor(kind="anonymous", id="anonymous", name="anonymous", role="admin", address="192.0.2.1", request_id="r")


def _envelope(command: c.Command) -> Envelope:
    return Envelope(v=VERSION, type=command.type, id=new_run_id(), at=utc_now(), body=command)


def _starts() -> list[Envelope]:
    return [
        _envelope(c.StartRun(actor=ANYBODY, file_name="d", dag_run_id=new_run_id(), by="anonymous"))
        for _ in range(BATCH)
    ]


def _without(batch: Batch) -> None:
    batch.pending.audit.clear()


def _beside(_batch: Batch) -> None:
    """The loop links, as in a scheduler."""


def _inside(batch: Batch) -> None:
    """Link in this transaction: hold the chain's lock until the commit."""
    batch.tx.connection.execute(text(f"SELECT pg_advisory_xact_lock({CHAIN_LOCK})"))
    entries = [{**row, "at": batch.now} for row in batch.pending.audit]
    batch.tx.audit.append(list(linked(batch.tx.audit.end_of_chain(), entries)))
    batch.after.audited = False


MODES: dict[str, Callable[[Batch], None]] = {"without": _without, "beside": _beside, "inside": _inside}


def _measure(parts: Assembly, change: Callable[[Batch], None]) -> tuple[float, float, list[float]]:
    """Return started runs per second, CPU milliseconds of this process per run, and the milliseconds of each batch."""
    took: list[float] = []
    began_cpu, ends = time.process_time(), time.perf_counter() + SECONDS

    def work() -> None:
        while time.perf_counter() < ends:
            envelopes = _starts()

            def decide(batch: Batch, envelopes: list[Envelope] = envelopes) -> None:
                carry_out(batch, envelopes)
                change(batch)

            began = time.perf_counter()
            parts.transactor.decide(decide)
            took.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = len(took) * BATCH
    return runs / SECONDS, (time.process_time() - began_cpu) * 1000 / runs, took


def main() -> None:
    """Measure all modes in turns, so that other work on the machine meets all of them, and print the medians."""
    with PostgresServer(fsync=True) as server:
        url = server.create_database()
        migrate(url)
        store = Store(open_engine(url, pool_size=THREADS + 2))
        transport = EmbeddedTransport(None)
        parts = Assembly(store, transport, Plans(), utc_now, ZoneInfo("UTC"))
        create = _envelope(c.CreateDag(actor=ANYBODY, file_name="d", spec="steps:\n  - echo one\n"))
        parts.transactor.decide(lambda batch: carry_out(batch, [create]))
        stop = threading.Event()
        linker = threading.Thread(target=parts.audit_chain.run, args=(stop,))
        linker.start()
        rates: dict[str, list[float]] = {name: [] for name in MODES}
        cpu: dict[str, list[float]] = {name: [] for name in MODES}
        times: dict[str, list[float]] = {name: [] for name in MODES}
        for _ in range(ROUNDS):
            for name, change in MODES.items():
                rate, each, took = _measure(parts, change)
                rates[name].append(rate)
                cpu[name].append(each)
                times[name] += took
        stop.set()
        linker.join()
        for name in MODES:
            cuts = statistics.quantiles(times[name], n=100)
            rate, each = statistics.median(rates[name]), statistics.median(cpu[name])
            print(f"{name:8} {rate:.0f} runs/s, {each:.2f} ms CPU a run; p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")


if __name__ == "__main__":
    main()
