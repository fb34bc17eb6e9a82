"""Event streams deliver every event once, although a broker restarts and a gateway dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.harness.cluster import Cluster
from tests.harness.event_stream import EventReader
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess

WAITS = """
steps:
  - name: one
    command: echo 1
  - name: wait
    script: until test -e {folder}/go; do sleep 0.05; done
  - name: two
    command: echo 2
"""


@pytest.fixture
def second(cluster: Cluster) -> Iterator[DagwayProcess]:
    """Another gateway for this test."""
    with cluster.gateway(1, free_port()) as process:
        cluster.ready(process)
        yield process


def test_streams_have_no_gap_over_a_broker_restart_and_a_gateways_death(
    cluster: Cluster, second: DagwayProcess, tmp_path: Path
) -> None:
    first_port, second_port = cluster.ports[0], int(second.env["DAGWAY_PORT"])
    client = cluster.client
    client.create("followed", WAITS.format(folder=tmp_path))
    client.create("quick", "steps:\n  - name: one\n    command: echo 1\n")
    client.start("followed")
    with (
        EventReader([first_port], "/events", "0-0") as everything,
        EventReader([second_port, first_port], "/dag-runs/followed/r1/events") as one_run,
    ):
        client.until_step("running", "followed", "r1", "wait")
        eventually(lambda: len(one_run.ids) >= 4)
        assert one_run.served_by == [second_port]

        cluster.rabbit.kill()
        cluster.rabbit.start()
        client.insist("POST", "/dags/quick/start", {"dagRunId": "r2"}, key="r2")
        client.until("succeeded", "quick", "r2")
        second.kill9()
        (tmp_path / "go").touch()
        client.until("succeeded", "followed")
        eventually(lambda: one_run.over)

        def everything_is_read() -> None:
            places = sorted((row["txid"], row["pos"]) for row in cluster.rows(t.transitions))
            assert everything.ids == [f"{txid}-{pos}" for txid, pos in places]

        # Runs that other tests have left on this system may still go on.
        eventually(everything_is_read)

    assert set(one_run.served_by) == {first_port, second_port}
    (run,) = cluster.rows(t.dag_runs, dag_name="followed")
    seqs = sorted(row["seq"] for row in cluster.rows(t.transitions, run_key=run["run_key"]))
    assert one_run.ids == [str(seq) for seq in seqs]
