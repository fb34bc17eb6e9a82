"""Workers on one volume, as the containers of a service in Compose: a new one goes on with what a former one left."""

import subprocess
from contextlib import ExitStack
from pathlib import Path

from shared.store import tables as t
from tests.faults.test_server_loss import WAITING, went_on
from tests.harness.cluster import Cluster, gone, pid_in
from tests.harness.eventually import eventually
from tests.harness.needs import missing
from tests.harness.procs import OWN_PROGRAM, DagwayProcess

_DAG = "workerSelector: {{volume: {volume}}}\n" + WAITING


def _on_host(host: str, cluster: Cluster, volume: Path, folder: Path) -> DagwayProcess:
    """Return a worker on a host with this name, without starting it."""
    inside = f'hostname {host} && exec {OWN_PROGRAM} "$@"'
    if subprocess.run(["unshare", "--uts", "hostname", host], capture_output=True, check=False).returncode:
        missing("only root may give a process a host name")
    program = folder / f"dagway-on-{host}"
    program.write_text(f"#!/bin/sh\nexec unshare --uts /bin/sh -c '{inside}' dagway \"$@\"\n")
    program.chmod(0o755)
    settings = {"DAGWAY_DATA_DIR": str(volume), "DAGWAY_DATA_WORKERS": "2"}
    made = cluster.worker(host, **settings, DAGWAY_WORKER_LABELS=f"volume={volume.name}")
    del made.env["DAGWAY_WORKER_ID"]
    return DagwayProcess(*made.args, folder=folder, env=made.env, name=host, program=program)


def _spooled(volume: Path) -> list[str]:
    return sorted(str(path.relative_to(volume)) for path in volume.glob("*/spool/*.json"))


def test_a_worker_on_another_host_delivers_what_a_killed_one_has_spooled(cluster: Cluster, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    with ExitStack() as stack:
        first = stack.enter_context(_on_host("first", cluster, volume, tmp_path))
        first.wait_ready((volume / "worker/worker-id").exists)
        cluster.client.create("moved", _DAG.format(volume=volume.name, folder=tmp_path))
        cluster.client.start("moved")
        pid = pid_in(tmp_path / "pid")
        cluster.client.until_step("running", "moved", "r1", "wait")
        second = stack.enter_context(_on_host("second", cluster, volume, tmp_path))
        second.wait_ready((volume / "worker-2/worker-id").exists)

        cluster.rabbit.stop()
        (tmp_path / "go").touch()
        eventually(lambda: gone(pid) and len(_spooled(volume)) == 1)
        assert _spooled(volume)[0].startswith("worker/"), "the second worker has a folder of its own"
        first.kill9()
        stack.enter_context(_on_host("third", cluster, volume, tmp_path)).wait_output("worker.started")
        cluster.rabbit.start()

        went_on(cluster, "moved")
        eventually(lambda: _spooled(volume) == [])

        def ids() -> set[str]:
            return {row["worker_id"] for row in cluster.rows(t.workers)}

        # The second one may never have been heard before the broker was stopped.
        eventually(lambda: {"default-first", "default-second"} <= ids())
        assert "default-third" not in ids(), "it is the first worker again"
