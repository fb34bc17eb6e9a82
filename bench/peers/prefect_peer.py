"""Prefect: a server whose state is in Postgres, and process workers.

Its idioms for a run (``prefect_flow``):

* a run is a run of a deployment, which a worker takes from a work pool and runs in a Python process of its own
* a step is a task of the flow; parallel steps are submitted to threads of that process
* a chain is a flow that calls one task after the other

Workers ask the server for runs every 0.25 s instead of every 10.
"""

import os
import sys
from pathlib import Path

from bench.peers.client import PORT, wait_ready

__all__ = ["NAME"]

NAME = "bench"
"""The name of the flow, its deployment and its work pool."""


def main(command: str, _broker: str, database: str, name: str = "", slots: str = "") -> None:
    """Become one process."""
    port = os.environ[PORT]
    api = f"http://127.0.0.1:{port}/api"
    arguments = {
        "prepare": ["server", "database", "upgrade", "-y"],
        "server": ["server", "start", "--host", "127.0.0.1", "--port", port],
        "worker": ["worker", "start", "--pool", NAME, "--name", name, "--limit", slots],
        "client": ["-m", "bench.peers.prefect_flow"],
    }[command]
    # These settings are read when prefect is imported.
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(Path.cwd()),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.replace("postgresql:", "postgresql+asyncpg:"),
        "PREFECT_WORKER_QUERY_SECONDS": "0.25",
    }
    if command == "worker":
        wait_ready(f"{api}/deployments/name/{NAME}/{NAME}")  # The client creates it, and the work pool.
    elif command == "client":
        wait_ready(f"{api}/health")
    python = Path(sys.executable)
    program = str(python if command == "client" else python.with_name("prefect"))
    os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
