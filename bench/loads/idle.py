"""w8, an idle system: what two schedulers, four workers and a gateway cost while nothing is due and nothing runs."""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy import Engine, insert, text

from bench.measuring.processes import cpu_of_each_s, memory_mb
from bench.systems.rig import distributed, servers
from shared.language.load import load
from shared.language.summary import summarise
from shared.store import tables as t
from shared.store.engine import open_engine
from tests.harness.eventually import eventually

__all__ = ["fill", "measure_idle"]

_IDLE_S = 120
_SETTLE_S = 30
"""The first passes of everything are over by then, and Postgres has updated its statistics, which are late."""
_WORKERS = 4
_DAGS = 1000
_COUNTS = text(
    "SELECT xact_commit + xact_rollback, (SELECT wal_sync FROM pg_stat_wal) "
    "FROM pg_stat_database WHERE datname = current_database()"
)


def measure_idle() -> dict[str, Any]:
    """Run the system with 1,000 DAGs whose schedule is not due, and print and return its costs.

    ``core`` is the share of a core by kind of process, ``mb`` the memory (PSS) of each process of a kind.
    """
    far = datetime.now(UTC) + timedelta(hours=12)
    with servers() as used, distributed(1, 2, _WORKERS, on=used, executed=True) as rig:
        engine = open_engine(rig.engine.url.render_as_string(hide_password=False))
        fill(engine, _DAGS, f"{far.minute} {far.hour} * * *")
        eventually(lambda: rig.rows("SELECT count(*) AS n FROM schedules")[0]["n"] == _DAGS, timeout_s=120, every_s=1)
        time.sleep(_SETTLE_S)
        before, cpu, began = _counts(engine), cpu_of_each_s(rig.pids), time.monotonic()
        time.sleep(_IDLE_S)
        span_s = time.monotonic() - began
        used_s = {kind: seconds - cpu[kind] for kind, seconds in cpu_of_each_s(rig.pids).items()}
        transactions, fsyncs = ((after - first) / span_s for after, first in zip(_counts(engine), before, strict=True))
        engine.dispose()
        of_each = {kind: memory_mb({kind: pids})[kind] / len(pids) for kind, pids in rig.pids.items()}
    print(f"  idle, {_DAGS:,} scheduled dags, 2 schedulers, {_WORKERS} workers, a gateway:")
    print(f"  {transactions:.2f} transactions/s, {fsyncs:.2f} fsyncs/s, {sum(used_s.values()) / span_s:.2%} of a core")
    for kind, seconds in used_s.items():
        print(f"  {kind}: {seconds / span_s:.2%} of a core, {of_each[kind]:.0f} MB each")
    core = {kind: seconds / span_s for kind, seconds in used_s.items()}
    return {"transactions": transactions, "fsyncs": fsyncs, "core": core, "mb": of_each}


def fill(engine: Engine, count: int, schedule: str) -> None:
    """Store ``count`` DAGs with this schedule."""
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


def _counts(engine: Engine) -> tuple[int, int]:
    with engine.connect() as connection:
        transactions, fsyncs = connection.execute(_COUNTS).one()
        return int(transactions), int(fsyncs)
