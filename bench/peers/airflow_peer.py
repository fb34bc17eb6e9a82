"""Airflow: API server, scheduler and DAG processor, whose state is in Postgres, with the ``LocalExecutor``.

Its idioms for a run (``airflow_dag``):

* a run is a run of a DAG from a file; a client starts it and asks for its state by the REST API
* a step is a task, which the scheduler's executor runs in a process forked for it, as many at once as all slots
* a chain is a DAG whose tasks follow each other

A scheduler with nothing to do looks again after 0.1 s instead of 1, and new files are found within 2 s instead of 300.
"""

# mypy: disable-error-code="import-not-found"

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.peers.client import PORT, SLOW_POLL_S, Wait, serve
from tests.harness.eventually import answers_200, eventually

_COMMANDS = {
    "prepare": ["db", "migrate"],
    "api-server": ["api-server", "--host", "127.0.0.1"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}
_SLOTS = "16"
_TIMEOUT_S = 120
_DAG = "from bench.peers.airflow_dag import dag\n\nmade = dag({name!r}, {steps}, chained={chained})\n"


class _Api:
    """The REST API, and the folder of DAGs."""

    def __init__(self, url: str, dags: Path) -> None:
        import httpx  # noqa: PLC0415 - the other commands do not need it

        eventually(lambda: answers_200(f"{url}/api/v2/monitor/health"))
        self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=_TIMEOUT_S)
        token = self._http.get(f"{url}/auth/token").json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._dags = dags

    def submit(self, steps: int, chained: bool) -> Sequence[Wait]:
        name = f"{'chain' if chained else 'wide'}{steps}"
        file = self._dags / f"{name}.py"
        if not file.exists():
            file.write_text(_DAG.format(name=name, steps=steps, chained=chained), encoding="ascii")
            eventually(lambda: self._http.get(f"/dags/{name}").is_success, timeout_s=_TIMEOUT_S)
        answer = self._http.post(f"/dags/{name}/dagRuns", json={"logical_date": None}).raise_for_status()
        return [partial(self._wait, f"/dags/{name}/dagRuns/{answer.json()['dag_run_id']}")]

    def _wait(self, run: str, _poll_s: float) -> None:
        while (state := self._http.get(run).raise_for_status().json()["state"]) in {"queued", "running"}:
            time.sleep(SLOW_POLL_S)
        if state != "success":
            raise RuntimeError(f"a run ended as {state}")


def _settings(url: str, database: str, home: Path) -> dict[str, str]:
    """Return the environment of Airflow's processes; secrets are in the file that its first process writes."""
    of_section: dict[str, dict[str, Any]] = {
        "API": {"PORT": url.rpartition(":")[2]},
        "CORE": {
            "DAGS_ARE_PAUSED_AT_CREATION": "false",
            "EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "EXECUTOR": "LocalExecutor",
            "LOAD_EXAMPLES": "false",
            "PARALLELISM": _SLOTS,
            "SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
        },
        "DAG_PROCESSOR": {"REFRESH_INTERVAL": "2", "BUNDLE_REFRESH_CHECK_INTERVAL": "1"},
        "DATABASE": {"SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:")},
        "LOGGING": {"LOGGING_LEVEL": "WARNING"},
        "SCHEDULER": {"SCHEDULER_IDLE_SLEEP_TIME": "0.1"},
        # A task fails if the API server does not answer in time, which is 5 s: little on a busy machine.
        "WORKERS": {"EXECUTION_API_TIMEOUT": "60"},
    }
    named = {
        f"AIRFLOW__{section}__{key}": value for section, found in of_section.items() for key, value in found.items()
    }
    return {"AIRFLOW_HOME": str(home), **named}


def main(command: str, _broker: str, database: str) -> None:
    """Run one process."""
    home = Path.cwd()
    url = f"http://127.0.0.1:{os.environ[PORT]}"
    (home / "dags").mkdir(exist_ok=True)
    if command == "client":
        serve(_Api(url, home / "dags").submit)
        return
    program = str(Path(sys.executable).with_name("airflow"))
    os.environ |= _settings(url, database, home)
    os.execv(program, [program, *_COMMANDS[command]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
