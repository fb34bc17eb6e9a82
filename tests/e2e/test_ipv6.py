"""Processes can listen on addresses of IPv6, which are all that some clusters give to pods."""

import socket
from pathlib import Path

import pytest

from shared.admin_server import AdminServer
from tests.harness.client import ask_probe
from tests.harness.eventually import eventually, free_port
from tests.harness.needs import missing
from tests.harness.procs import DagwayProcess


@pytest.fixture(autouse=True)
def _machine() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        missing("this machine has no address of IPv6")


def test_probes_reach_a_process_at_addresses_of_both_families() -> None:
    server = AdminServer("::", 0, lambda: "")
    server.start()
    try:
        assert ask_probe(f"http://[::1]:{server.port}/readyz") == (200, "ok\n")
        assert ask_probe(f"http://127.0.0.1:{server.port}/readyz") == (200, "ok\n")
    finally:
        server.stop()


def test_a_whole_system_listens_there_and_prints_an_address_that_works(tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    env = {
        "DAGWAY_HOST": "::1",
        "DAGWAY_PORT": str(port),
        "DAGWAY_METRICS_PORT": str(metrics),
        "DAGWAY_DATA_DIR": str(tmp_path / "data"),
    }
    with DagwayProcess("up", folder=tmp_path, env=env) as process:
        process.wait_ready(f"http://[::1]:{metrics}/readyz")

        address = f"http://[::1]:{port}"
        eventually(lambda: f"Dagway is up: {address} " in process.output())
        assert ask_probe(f"{address}/api/v2/health")[0] == 200
