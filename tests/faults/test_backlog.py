"""A long backlog of tasks: however long a task waits at the broker, it runs exactly once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.scheduler.loops.relay import OVERDUE_S
from shared.store import tables as t
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.invariants import violations
from tests.harness.servers import PostgresServer, RabbitServer

RUNS = 80
"""One worker that runs one step after the other needs longer for them than a sweep for overdue tasks takes."""
LONG = timedelta(seconds=OVERDUE_S + 4)


def test_tasks_that_wait_for_long_are_not_taken_for_lost(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with Cluster(tmp_path / "cluster", *running(*servers), schedulers=2, workers=0, lease_s=LEASE_S) as system:
        system.client.create("short", f"steps:\n  - echo $DAG_RUN_ID >> {ran}; sleep 0.1\n")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: system.client.start("short", f"r{number}"), range(RUNS)))
        oldest = min(row["created_at"] for row in system.rows(t.dag_runs))
        eventually(lambda: datetime.now(UTC) > oldest + LONG, timeout_s=2 * LONG.total_seconds())

        # It has a free slot every other moment, and says so.
        system.workers.append(system.worker("w1", DAGWAY_WORKER_SLOTS="1"))
        system.start(system.workers[0])

        eventually(lambda: len(system.rows(t.dag_runs, status="succeeded")) == RUNS)
        assert sorted(ran.read_text().split()) == sorted(f"r{number}" for number in range(RUNS))
        assert [row["why"] for row in system.rows(t.transitions) if "anew" in row["why"]] == []
        assert {row["state"] for row in system.rows(t.attempts)} == {"finished"}
        assert violations(system.engine) == []
