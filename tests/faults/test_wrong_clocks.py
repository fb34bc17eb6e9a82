"""Hosts whose clocks are wrong by more than the day that a signature allows for."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.harness.cluster import Cluster, running
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.wrong_clock import wrong_clock


@pytest.mark.parametrize("gateway_ahead", [timedelta(days=2), timedelta(days=-9)])
def test_a_scheduler_and_a_gateway_go_by_the_clock_of_the_database(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path, gateway_ahead: timedelta
) -> None:
    with_clocks = Cluster(tmp_path / "cluster", *running(*servers), lease_s=5)
    for process, ahead in (
        (with_clocks.gateways[0], gateway_ahead),
        (with_clocks.schedulers[0], timedelta(days=-2)),
    ):
        folder = tmp_path / process.args[0]
        folder.mkdir()
        process.env |= wrong_clock(folder, ahead)
    with with_clocks as cluster:
        cluster.client.create("goes-on", "steps:\n  - command: sleep 6\n")
        cluster.client.start("goes-on")
        cluster.client.until("succeeded", "goes-on")

        assert [row["state"] for row in cluster.rows(t.workers)] == ["live"]
        assert cluster.rows(t.dead_letters) == []
        assert all("message.refused" not in process.output() for process in cluster.processes)
