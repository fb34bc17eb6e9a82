"""Prefect: a server whose state is in Postgres, and workers that serve a deployment.

Its idioms for a run (``prefect_flow``):

* a run is a run of the deployment, which a worker runs in a Python process of its own
* a step is a task of the flow; parallel steps are submitted to threads of that process
* a chain is a flow that calls one task after the other

Workers ask the server for runs every 0.25 s instead of every 10.
"""

import os
import sys
from pathlib import Path

from bench.peers.client import PORT
from tests.harness.eventually import answers_200, eventually

__all__ = ["NAME"]

NAME = "bench"
"""The name of the flow and of its deployment."""


def main(command: str, _broker: str, database: str, name: str = "", slots: str = "") -> None:
    """Become one process."""
    port = os.environ[PORT]
    api = f"http://127.0.0.1:{port}/api"
    # These settings are read when prefect is imported.
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(Path.cwd()),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.replace("postgresql:", "postgresql+asyncpg:"),
    }
    if command == "worker":
        eventually(lambda: answers_200(f"{api}/health"))
    elif command == "client":
        eventually(lambda: answers_200(f"{api}/deployments/name/{NAME}/{NAME}"))  # A worker creates it.
    arguments = {
        "prepare": ["prefect", "server", "database", "upgrade", "-y"],
        "server": ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
    }.get(command, ["bench.peers.prefect_flow", command, name, slots])
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
