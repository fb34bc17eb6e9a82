"""A process ends in an orderly way, however many signals it gets."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer


def test_several_signals_end_a_process_as_one_does(tmp_path: Path) -> None:
    port = free_port()
    env = {"DAGWAY_PORT": str(port), "DAGWAY_DATA_DIR": str(tmp_path / "data")}
    with DagwayProcess("up", folder=tmp_path, env=env) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/api/v2/health")
        # It may end before the last signal.
        with suppress(ProcessLookupError):
            for _ in range(5000):
                # As a supervisor and a parent that hands it on do, or fingers on Ctrl+C.
                os.kill(process.pid, signal.SIGTERM)
                os.kill(process.pid, signal.SIGINT)

        assert process.wait_exit() == 0


def test_a_closed_terminal_ends_it_as_a_stop_does(tmp_path: Path) -> None:
    port = free_port()
    env = {"DAGWAY_PORT": str(port), "DAGWAY_DATA_DIR": str(tmp_path / "data")}
    with DagwayProcess("up", folder=tmp_path, env=env) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/api/v2/health")

        os.kill(process.pid, signal.SIGHUP)

        assert process.wait_exit() == 0
        assert "worker.stopped" in process.output()


def test_a_gateway_takes_leave_of_the_broker(cluster: Cluster, servers: tuple[RabbitServer, PostgresServer]) -> None:
    """Else the broker warns of each of its connections, at each restart of a gateway."""
    gateway, broker = cluster.gateways[0], servers[0]
    vhost = cluster.amqp_url.rpartition("/")[2]

    def connections(gateways: int) -> set[str]:
        """Return the names of the connections of so many gateways: each has one to send and one to receive."""
        rows = [
            row.split("\t") for row in broker.ctl("list_connections", "vhost", "name", "client_properties").splitlines()
        ]
        names = {name for place, name, client in rows if place == vhost and "dagway-api" in client}
        assert len(names) == 2 * gateways, rows
        return names

    logged = len(broker.log.read_text())
    before = eventually(lambda: connections(2))
    assert gateway.terminate() == 0
    ended = before - eventually(lambda: connections(1))
    said = broker.log.read_text()[logged:]
    cluster.start(gateway)

    # Tests share the broker: it may still say of the connections of another test that they were cut.
    assert [name for name in ended if name in said] == []
    assert "api.stopped" in gateway.output()
