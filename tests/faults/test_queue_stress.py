"""Queues keep their limits and order while schedulers and workers are killed."""

import os
import random
from pathlib import Path

import pytest

from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.queue_stress import stress
from tests.harness.servers import PostgresServer, RabbitServer

RUNS = 200
A_WAVE = 50
SCHEDULERS, WORKERS = 3, 3
"""Enough to race for every queue, and to fill it while some are down. The benchmark of queues has more of each."""
SETTLED_S = 450
"""It bounds a hang, not the speed. On a busy machine each of the 40 runs of the queue for one takes seconds."""


@pytest.mark.timeout(600)
def test_no_queue_exceeds_its_limit_or_its_order_while_processes_die(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"seed {seed}")  # noqa: T201 - to see it again: CHAOS_SEED
    rabbit, postgres = running(*servers)
    with Cluster(
        tmp_path / "cluster", rabbit, postgres, schedulers=SCHEDULERS, workers=WORKERS, lease_s=LEASE_S
    ) as system:
        outcome = stress(system, runs=RUNS, a_wave=A_WAVE, seed=seed, within_s=SETTLED_S)

    print(outcome)  # noqa: T201 - what it is about
    assert outcome.wrong == []
    assert outcome.answers.keys() <= {200, 202}
    assert sum(outcome.killed.values()) >= RUNS // A_WAVE
