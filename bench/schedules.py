"""``python -m bench.schedules [idle|due|year]``: two schedulers on real servers.

idle  5,000 DAGs whose schedules are not due, two idle workers: database transactions and processor time per second
due   10,000 DAGs due in the same minute: whether each fired exactly once, how late the fires were, processor time
year  a simulated year of 500 schedules with kills, pauses and clock jumps, compared with the fires that an independent
      model predicts; takes ``--seed``
"""

import argparse
import hashlib
import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine, func, insert, select, text

from bench.processor import cpu_s
from shared.language.load import load
from shared.language.summary import summarise
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

_IDLE_S = 60
_WORKERS = 2


def _fill(engine: Engine, count: int, schedule: str) -> None:
    now = datetime.now(UTC)
    spec = f'schedule: "{schedule}"\nsteps:\n  - name: s\n    command: "true"\n'
    digest = hashlib.sha256(spec.encode()).hexdigest()
    dag = load(spec, file_name="dag").dag
    assert dag is not None
    rows = [
        {
            "file_name": f"dag{number:05}",
            "dag_name": f"dag{number:05}",
            "spec_hash": digest,
            "version": 1,
            "summary": summarise(dag) | {"name": f"dag{number:05}"},
            "tags": [],
            "errors": [],
            # As if this program had stored them: otherwise the schedulers would check all of them in the time measured.
            "judged_by": version("dagway"),
            "suspended": False,
            "created_at": now,
            "updated_at": now,
        }
        for number in range(count)
    ]
    with engine.begin() as connection:
        connection.execute(insert(t.specs), [{"hash": digest, "yaml": spec, "created_at": now}])
        connection.execute(insert(t.dags), rows)


def _count(engine: Engine, table: object) -> int:
    with engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def _transactions(engine: Engine) -> int:
    with engine.begin() as connection:
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.execute(text(query)).scalar_one())


def _idle(engine: Engine, schedulers: list[DagwayProcess]) -> None:
    eventually(lambda: _count(engine, t.schedules) == 5000, timeout_s=120, every_s=1)
    eventually(lambda: _count(engine, t.workers) == _WORKERS, timeout_s=60, every_s=1)
    time.sleep(15)  # Postgres updates the statistics late
    transactions, cpu, began = _transactions(engine), sum(cpu_s(each.pid) for each in schedulers), time.monotonic()
    time.sleep(_IDLE_S)
    span_s = time.monotonic() - began
    rate = (_transactions(engine) - transactions) / span_s
    busy = (sum(cpu_s(each.pid) for each in schedulers) - cpu) / span_s
    print(f"  idle, 5,000 scheduled dags, 2 schedulers, {_WORKERS} workers: {rate:.2f} tx/s,")
    print(f"  {busy * 100:.1f} % of one processor by the schedulers")


def _due(engine: Engine, schedulers: list[DagwayProcess], slot: datetime) -> None:
    eventually(lambda: _count(engine, t.schedules) == 10_000, timeout_s=150, every_s=1)
    if datetime.now(UTC) >= slot:
        raise RuntimeError("the machine is too slow: the minute came before all dags were known")
    print(f"  all dags known {(slot - datetime.now(UTC)).total_seconds():.0f} s before they are due")
    cpu = sum(cpu_s(each.pid) for each in schedulers)
    time.sleep(max(0.0, (slot - datetime.now(UTC)).total_seconds()))
    eventually(lambda: _count(engine, t.cron_slots) == 10_000, timeout_s=200, every_s=1)
    took_cpu_s = sum(cpu_s(each.pid) for each in schedulers) - cpu
    with engine.begin() as connection:
        rows = connection.execute(select(t.dag_runs.c.created_at, t.dag_runs.c.dag_name)).all()
        fired = connection.execute(
            select(func.count()).select_from(t.cron_slots).where(t.cron_slots.c.outcome == "fired")
        ).scalar_one()
    late = sorted((row.created_at - slot).total_seconds() for row in rows)
    different = len({row.dag_name for row in rows})
    print(f"  fires {fired}, runs {len(rows)}, of different dags {different}")
    print(f"  all fired within {late[-1]:.1f} s of the minute, {took_cpu_s:.1f} s of the schedulers' CPU")
    print(
        f"  late: the first 100 p99 {late[98]:.2f} s, at most {late[99]:.2f} s; median {statistics.median(late):.2f} s"
    )
    if not fired == len(rows) == different == 10_000:
        raise SystemExit("not every scheduled time has exactly one run")


def _on_servers(what: str) -> None:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)  # Postgres runs as another user
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer(fsync=True))
        database_url = postgres.create_database()
        migrate(database_url)
        engine = open_engine(database_url)
        slot = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)
        if what == "idle":
            far = slot + timedelta(hours=12)
            _fill(engine, 5000, f"{far.minute} {far.hour} * * *")
        else:
            _fill(engine, 10_000, f"{slot.minute} {slot.hour} * * *")
        env = {
            "DAGWAY_AMQP_URL": rabbit.url,
            "DAGWAY_DATABASE_URL": database_url,
            "DAGWAY_LOG_LEVEL": "warning",
            "DAGWAY_TZ": "UTC",
        }
        schedulers = [
            stack.enter_context(DagwayProcess("scheduler", folder=home / f"s{number}", env=env)) for number in range(2)
        ]
        if what == "idle":
            for number in range(_WORKERS):
                folder = home / f"w{number}"
                own = {"DAGWAY_AMQP_URL": rabbit.url, "DAGWAY_WORKER_ID": f"w{number}", "DAGWAY_DATA_DIR": str(folder)}
                stack.enter_context(DagwayProcess("worker", folder=folder, env=own))
            _idle(engine, schedulers)
        else:
            _due(engine, schedulers, slot)
        engine.dispose()


def main() -> None:
    """Run the benchmark that is named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.schedules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["idle", "due", "year"])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**8))
    asked = parser.parse_args()
    what, seed = asked.what, asked.seed
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    if what in {None, "year"}:
        from tests.unit.scheduler.test_fires import simulate_a_year  # noqa: PLC0415 - brings pytest along

        print(f"a year of 500 schedules, seed {seed}", flush=True)
        began = time.monotonic()
        slots = simulate_a_year(schedules=500, seed=seed)
        took_s = time.monotonic() - began
        print(f"  {slots.total()} fires, all as the oracle predicts, in {took_s:.1f} s")
        print(f"  {dict(slots)}", flush=True)
    for one in ("idle", "due"):
        if what in {None, one}:
            _on_servers(one)


if __name__ == "__main__":
    main()
