"""Workers that share a volume, and whose steps have users of their own, as in the Compose file."""

import os
from contextlib import ExitStack
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer
from tests.security.conftest import STEP_USERS, WORKER_UID

_CALLER = """\
workerSelector: {on: w1}
steps:
  - name: inner
    call: inner
    output: SAID
  - name: tell
    command: echo "${SAID.outputs.WHERE}"
---
name: inner
workerSelector: {on: w2}
steps:
  - {name: where, command: pwd, output: WHERE}
"""


def test_a_sub_run_on_another_worker_of_the_volume_has_a_folder_of_its_own(
    servers: tuple[RabbitServer, PostgresServer], open_folder: Path, confined_program: Path
) -> None:
    volume = open_folder / "volume"
    volume.mkdir(0o711)
    os.chown(volume, WORKER_UID, WORKER_UID)
    users = {"DAGWAY_STEP_USER": STEP_USERS, "DAGWAY_WORKER_USER": str(WORKER_UID)}
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(open_folder / "cluster", *servers, workers=0))
        for name in ("w1", "w2"):
            settings = {"DAGWAY_WORKER_LABELS": f"on={name}", "DAGWAY_DATA_DIR": str(volume)}
            env = cluster.worker(name, **users, **settings, DAGWAY_DATA_WORKERS="2").env
            worker = DagwayProcess("worker", folder=open_folder / name, env=env, program=confined_program)
            stack.enter_context(worker).wait_output("worker.started")
        cluster.client.create("outer", _CALLER)
        cluster.client.start("outer")

        cluster.client.until("succeeded", "outer")

        where = Path(cluster.client.text("outer", "r1", "tell").strip())
        assert where.is_relative_to(volume)
        assert where.name.startswith("outer~r1~")
