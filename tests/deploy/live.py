"""Run every command of docs/operations unchanged on a real compose system: ``python -m tests.deploy.live``.

It also runs every example there, whose sub-runs and steps are then on several workers.

It needs a container engine that has the images in docker-compose.yml, or can pull and build them, and takes
minutes. So it is not part of ``make test``, which only checks that no page is missing in ``ORDER``
(``test_operations.py``). It works in a copy of the project and removes everything that it has created.
Commands for a Kubernetes cluster are not run, since no cluster is available.

``live_faults`` is the second command of this kind: it causes faults.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from tests.deploy.live_examples import run_examples
from tests.harness.eventually import eventually, free_port

__all__ = ["ORDER", "PAGES", "ROOT", "System", "blocks", "runnable"]

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "operations"
ORDER = (
    "install",
    "sizing",
    "alerts",
    "audit",
    "traces",
    "drain",
    "verify",
    "backup",
    "worker-pools",
    "rotate-secrets",
    "upgrade",
)
"""The order in which the pages' commands run. Each page starts from the state that the previous page left."""
_BLOCK_TIMEOUT_S = 600
_LATER = "UPDATE alembic_version SET version_num = '9999'"
"""Makes the schema that of a later version, for the commands that go back from one."""


def blocks(page: Path) -> list[str]:
    """Return the command blocks of a page."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def runnable(block: str) -> str:
    """Return the commands of a block that need no Kubernetes cluster."""
    return "".join(line for line in block.splitlines(keepends=True) if "kubectl" not in line)


class System:
    """The compose system in a copy of the project, on a free port.

    ``project`` is the name that Compose gives it. ``settings`` are variables for Compose, which win over ``.env``.
    """

    def __init__(
        self, folder: Path, *, project: str = "dagway-live", settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._env = {
            **os.environ,
            "GATEWAY_PORT": str(self.port),
            "GRAFANA_PORT": str(free_port()),
            "COMPOSE_PROJECT_NAME": project,
            **(settings or {}),
        }
        self._login = ""
        tracked = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x", "-C", str(folder)], input=tracked, check=True)

    def sh(self, text: str, *, timeout_s: float = _BLOCK_TIMEOUT_S) -> str:
        """Run shell commands and return their output. Exits if one of them fails."""
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        argv = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            argv, cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            raise SystemExit(f"failed ({done.returncode}):\n{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    @property
    def login(self) -> str:
        """The value of the ``Authorization`` header."""
        self._login = self._login or self._log_in()
        return self._login

    def _log_in(self) -> str:
        """Log in as the first user, with the password from the environment file, as a reader of the pages does."""
        [password] = re.findall(r"^ADMIN_PASSWORD=(\w+)$", (self.folder / ".env").read_text(), re.MULTILINE)
        url = f"http://127.0.0.1:{self.port}/api/v2/auth/login"
        answer = urllib3.request(
            "POST", url, json={"username": "admin", "password": password}, retries=False, timeout=20
        )
        assert answer.status == 200, (answer.status, answer.data)
        return f"Bearer {answer.json()['token']}"

    def kill(self, service: str) -> int:
        """End the main process of each container of a service by SIGKILL, and return how many there were.

        Not by ``docker kill``: then the engine takes the container for stopped on purpose, and does not restart it.
        """
        pids = self.sh(f"docker inspect --format '{{{{.State.Pid}}}}' $(docker compose ps --quiet {service})").split()
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        return len(pids)

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """Return the answer's body, or ``None`` for 404. ``key`` is the Idempotency-Key, for writes that are repeated.

        Raises:
            AssertionError: no answer, or another status than 200, 201 and 404. After 401 the next call logs in again.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": self.login}
        try:
            answer = urllib3.request(
                method,
                f"http://127.0.0.1:{self.port}/api/v2{path}",
                body=data,
                headers=headers | ({"Idempotency-Key": key} if key else {}),
                retries=False,
                timeout=20,
            )
        except urllib3.exceptions.HTTPError as error:
            raise AssertionError(str(error)) from error
        if answer.status == 401:
            self._login = ""
        assert answer.status in {200, 201, 404}, (path, answer.status, answer.data)
        return answer.json() if answer.status != 404 else None

    def run(self, run_id: str) -> None:
        """Start a run and wait until it has succeeded, which shows that all services work."""
        eventually(lambda: self.ask("POST", "/dags/hello/start", {"dagRunId": run_id}, key=run_id), every_s=0.5)
        eventually(lambda: self._succeeded(run_id), every_s=0.5)

    def _succeeded(self, run_id: str) -> None:
        found = self.ask("GET", f"/dag-runs/hello/{run_id}")
        assert found is not None, run_id
        assert found["dagRunDetails"]["statusLabel"] == "succeeded", found["dagRunDetails"]["statusLabel"]


def kill_schedulers(system: System) -> None:
    """Kill both schedulers by SIGKILL during a run; check that compose restarts them and the run succeeds."""
    spec = "steps:\n  - name: long\n    command: sleep 8\n  - name: after\n    command: 'true'\n"
    system.ask("POST", "/dags", {"name": "killed", "spec": spec})
    system.ask("POST", "/dags/killed/start", {"dagRunId": "k"})
    assert system.kill("scheduler") == 2

    def ended() -> None:
        found = system.ask("GET", "/dag-runs/killed/k")
        assert found["dagRunDetails"]["statusLabel"] == "succeeded", found["dagRunDetails"]["statusLabel"]

    eventually(ended, timeout_s=120, every_s=1)


def watched(system: System) -> None:
    """Check that Prometheus scrapes every replica, and that its totals contain the runs of the database."""

    def seen() -> None:
        query = "docker compose exec -T prometheus promtool query instant http://127.0.0.1:9090"
        up = system.sh(f"{query} 'dagway:up:count'")
        assert re.search(r'service="scheduler"\} => 2 ', up), up
        assert re.search(r'service="worker"\} => 2 ', up), up
        runs = system.sh(f"""{query} 'dagway:dag_runs:total{{status="succeeded"}}'""")
        assert re.search(r"=> [1-9]", runs), runs

    eventually(seen, every_s=3)


def main() -> None:
    """Run the commands of all pages in order, and check the system after each page."""
    with tempfile.TemporaryDirectory(prefix="dagway-live-") as folder:
        system = System(Path(folder))
        try:
            for page in ORDER:
                for block in filter(None, map(runnable, blocks(PAGES / f"{page}.md"))):
                    system.sh(block)
                    sys.stdout.write(f"{page}: {len(block.splitlines())} commands ran\n")
                    sys.stdout.flush()
                    if page == "upgrade" and "docker compose build" in block:
                        system.sh(f'docker compose exec -T postgres psql -U postgres dagway -c "{_LATER}"')
                    if "pg_dump" in block:
                        system.run("after-the-copy")
                if page == "backup":
                    assert system.ask("GET", "/dag-runs/hello/after-the-copy") is None, "it began after the backup"
                    assert system.ask("GET", "/dag-runs/hello/after-install") is not None, "the backup has it"
                system.run(f"after-{page}")
                if page == "install":
                    sys.stdout.write(f"{run_examples(system.ask)} runs of the examples ended as they should\n")
            kill_schedulers(system)
            watched(system)
            sys.stdout.write("both schedulers were killed and the run succeeded; Prometheus scrapes every replica\n")
        finally:
            system.sh("docker compose down --volumes --timeout 10 >/dev/null 2>&1 || true")


if __name__ == "__main__":
    main()
