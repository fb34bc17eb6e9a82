"""The compose system that ``live_faults`` disturbs: what can be asked of it, and the transcript."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from tests.deploy.live import ROOT, System
from tests.harness.eventually import eventually

__all__ = ["LONG_S", "DisturbedSystem", "say"]

LONG_S = 300.0
"""How long one condition may take. It bounds a hang: a busy machine needs minutes for what else takes seconds."""
_RESTART_S = 600.0
_ENDED = {"succeeded", "partially_succeeded", "failed", "aborted", "rejected"}
_RETRIED = "\n    retryPolicy: {limit: 5, intervalSec: 1}"
_SPECS = {
    "quick": "steps:\n  - name: one\n    command: echo done\n",
    "slow": f"steps:\n  - name: long\n    command: sleep 6{_RETRIED}\n",
    "slow-once": "steps:\n  - name: long\n    command: sleep 6\n",
    "two-minutes": "steps:\n  - name: long\n    command: sleep 120\n",
}
_began_s = time.monotonic()


def say(finding: str) -> None:
    """Write one line of the transcript, with the seconds since the start."""
    sys.stdout.write(f"{time.monotonic() - _began_s:6.0f} s  {finding}\n")
    sys.stdout.flush()


class DisturbedSystem(System):
    """Adds to ``docker-compose.yml`` what ``live_faults.yml`` has.

    Services that are away are waited for. A run that ends otherwise than it should is an error at once.
    """

    def __init__(self, folder: Path) -> None:
        settings = {
            "ALERT_WEBHOOK_URL": "http://receiver:8080/on-call",
            "WATCHDOG_WEBHOOK_URL": "http://receiver:8080/watchdog",
            "DAGWAY_SITE": "live",
        }
        super().__init__(folder, project="dagway-live-faults", settings=settings)
        # A file that the caller has named, for instance for a build behind a proxy, stays.
        files = self._env.get("COMPOSE_FILE", "docker-compose.yml")
        self._env["COMPOSE_FILE"] = f"{files}:tests/deploy/live_faults.yml"

    def create_dags(self) -> None:
        """Create the DAGs of this file. Of those with a long step only ``slow`` has a ``retryPolicy``."""
        for name, spec in _SPECS.items():
            self.ask("POST", "/dags", {"name": name, "spec": spec})

    def status_without_login(self, method: str, path: str) -> int:
        """Return the status of a request that has no credentials."""
        url = f"http://127.0.0.1:{self.port}/api/v2{path}"
        return urllib3.request(method, url, json={}, retries=False, timeout=20).status

    def cli(self, *arguments: str) -> str:
        """Run ``dagway`` of this environment on this machine and return its output. Exits if it fails."""
        env = {
            "PATH": self._env["PATH"],
            "HOME": str(self.folder),
            "DAGWAY_URL": f"http://127.0.0.1:{self.port}",
            "DAGWAY_AUTH_TOKEN": self.login.removeprefix("Bearer "),
        }
        argv = [sys.executable, "-m", "dagway", *arguments]
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LONG_S, check=False)
        if done.returncode:
            raise SystemExit(f"failed ({done.returncode}): {arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def begin(self, dag: str, run_id: str) -> None:
        """Start a run. Repeats the request, which has no second effect, until it is accepted."""
        start = partial(self.ask, "POST", f"/dags/{dag}/start", {"dagRunId": run_id}, key=run_id)
        eventually(lambda: start() is not None, timeout_s=LONG_S, every_s=0.05)

    def wait_until_step_runs(self, dag: str, run_id: str) -> None:
        """Wait until the only step of a run is running."""

        def running() -> None:
            [node] = self._details(dag, run_id)["nodes"]
            assert node["statusLabel"] == "running", node["statusLabel"]

        eventually(running, timeout_s=LONG_S, every_s=0.1)

    def wait_for_end(self, dag: str, run_id: str, status: str = "succeeded") -> Any:
        """Wait until a run has ended, check its status, and return its details."""

        def ended() -> Any:
            details = self._details(dag, run_id)
            assert details["statusLabel"] in _ENDED, details["statusLabel"]
            return details

        details = eventually(ended, timeout_s=LONG_S, every_s=0.1)
        if details["statusLabel"] != status:
            raise SystemExit(f"run {run_id} of {dag} is not {status}: {json.dumps(details)[:3000]}")
        return details

    def _details(self, dag: str, run_id: str) -> Any:
        found = self.ask("GET", f"/dag-runs/{dag}/{run_id}")
        assert found is not None, run_id
        return found["dagRunDetails"]

    def scale(self, *, gateways: int, workers: int) -> None:
        """Run this many of them. Several gateways cannot share a port of this machine: ``ask`` works with one only."""
        self._env["GATEWAY_PORT"] = str(self.port) if gateways == 1 else "0"
        self.sh(f"docker compose up --detach --wait --no-build --scale api={gateways} --scale worker={workers}")

    def containers(self, service: str) -> list[str]:
        """Return the ids of the containers of a service that run."""
        return self.sh(f"docker compose ps --quiet {service}").split()

    def state(self, container: str) -> Any:
        """Return what the engine knows about a container."""
        return json.loads(self.sh(f"docker inspect {container}"))[0]

    def wait_until_healthy(self, *containers: str) -> None:
        """Wait until these containers, or else all of the system, run and pass their health checks."""

        def healthy() -> None:
            ids = containers or self.sh("docker compose ps --all --quiet").split()
            for found in json.loads(self.sh(f"docker inspect {' '.join(ids)}")):
                state = found["State"]
                if state["Status"] == "exited" and state["ExitCode"] == 0 and "migrate" in found["Name"]:
                    continue
                status = state.get("Health", {}).get("Status", state["Status"])
                assert status in {"healthy", "running"}, (found["Name"], status)

        eventually(healthy, timeout_s=LONG_S, every_s=0.2, slowest_s=1)

    def beside(self, command: str) -> "Future[str]":
        """Begin a shell command in a thread of its own. Its result raises if the command fails."""
        with_one_thread = ThreadPoolExecutor(1)
        future = with_one_thread.submit(self.sh, command, timeout_s=_RESTART_S)
        with_one_thread.shutdown(wait=False)
        return future

    def rows(self, query: str) -> list[list[str]]:
        """Return the rows of a query to the database, as texts."""
        out = self.sh(f'docker compose exec -T postgres psql -U postgres -At -F "|" dagway -c "{query}"')
        return [line.split("|") for line in out.splitlines()]

    def answer(self, text: str) -> str:
        """Return the output of commands that ask something. Unlike ``sh``, they may fail: ``eventually`` asks again."""
        try:
            return self.sh(text)
        except SystemExit as failure:
            raise AssertionError(str(failure)) from failure

    def series(self, query: str, *, server: str = "prometheus") -> list[tuple[Mapping[str, str], float]]:
        """Return the labels and values of an instant query to a Prometheus."""
        ask = f"docker compose exec -T {server} promtool query instant --format json http://127.0.0.1:9090"
        found = json.loads(self.answer(f"{ask} '{query}'") or "[]")
        return [(each["metric"], float(each["value"][1])) for each in found or []]

    def calls(self, path: str) -> list[Any]:
        """Return the bodies of the webhooks that the receiver has heard at a path, oldest first."""
        [receiver] = self.containers("receiver")
        heard = [json.loads(line) for line in self.answer(f"docker logs {receiver}").splitlines()]
        return [each["body"] for each in heard if each["path"] == path]

    def audit_end(self) -> str:
        """Verify the audit log and return the position and hash at which it ends."""
        found = self.sh("docker compose exec -T api dagway audit verify")
        [end] = re.findall(r"^intact: .*ends at (\S+)", found, re.MULTILINE)
        return str(end)
