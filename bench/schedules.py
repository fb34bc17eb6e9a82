"""``python -m bench.schedules [idle|due|year]``: two schedulers on real servers.

idle  1,000 DAGs whose schedules are not due, four idle workers and a gateway: transactions and fsyncs per second,
      CPU time and memory
due   10,000 DAGs due in the same minute: whether each fired exactly once, how late the fires were, CPU time
year  a simulated year of 500 schedules with kills, pauses and clock jumps, compared with the fires that an independent
      model predicts; takes ``--seed``
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select

from bench.loads.idle import fill, measure_idle
from bench.measuring.processes import cpu_s
from bench.systems.rig import distributed
from shared.store import tables as t
from shared.store.engine import open_engine
from tests.harness.eventually import eventually


def _count(engine: Engine, table: object) -> int:
    with engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def _due(engine: Engine, schedulers: Sequence[int], slot: datetime) -> None:
    eventually(lambda: _count(engine, t.schedules) == 10_000, timeout_s=150, every_s=1)
    if datetime.now(UTC) >= slot:
        raise RuntimeError("the machine is too slow: the minute came before all dags were known")
    print(f"  all dags known {(slot - datetime.now(UTC)).total_seconds():.0f} s before they are due")
    cpu = sum(map(cpu_s, schedulers))
    time.sleep(max(0.0, (slot - datetime.now(UTC)).total_seconds()))
    eventually(lambda: _count(engine, t.cron_slots) == 10_000, timeout_s=200, every_s=1)
    took_cpu_s = sum(map(cpu_s, schedulers)) - cpu
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


def _on_servers() -> None:
    with distributed(schedulers=2, workers=0) as rig:
        engine = open_engine(rig.engine.url.render_as_string(hide_password=False))
        slot = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)
        fill(engine, 10_000, f"CRON_TZ=UTC {slot.minute} {slot.hour} * * *")
        _due(engine, rig.pids["schedulers"], slot)
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
    if what in {None, "idle"}:
        measure_idle()
    if what in {None, "due"}:
        _on_servers()


if __name__ == "__main__":
    main()
