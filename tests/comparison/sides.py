"""One side of the comparison: a server with the API of Dagu, at a base URL."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from tests.harness.eventually import eventually, free_port

__all__ = ["Side", "dagu"]

_ENDED = frozenset({"succeeded", "failed", "aborted", "partially_succeeded", "rejected"})
_RUN_ID = "run"
_RUN_S = 120.0
_FINISHED_S = 20.0
"""How long Dagu may take to write when a run has finished. Now and then it never does, though the run has ended."""
_INTERNAL = re.compile(r'\n *"DAGU_CONTINUE_ON[^\n]*')
"""What Dagu's summary of a sub-run tells of its own variables; see the table of differences."""


class Side:
    """Runs workflows at ``url`` and returns what can be seen of them.

    ``pid``: the server's process, if it is ours. ``patience_s``: how long to wait for the time at which a run finished.
    ``must_finish``: it must come. ``token``: of a login, if the server asks for one.
    """

    def __init__(
        self, url: str, pid: int = 0, *, must_finish: bool = True, patience_s: float = _RUN_S, token: str = ""
    ) -> None:
        self.url = self._url = url
        self.pid, self.token = pid, token
        self._must_finish, self._patience_s = must_finish, patience_s
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._pool = urllib3.PoolManager(retries=False, timeout=60, maxsize=8)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, f"{self._url}/api/v2{path}", body=data, headers=self._headers)
        try:
            return answer.status, json.loads(answer.data)
        except ValueError:
            return answer.status, None

    def result(self, name: str, spec: str) -> dict[str, Any]:
        """Store a workflow, run it once, and return its statuses, logs and outputs.

        If it is refused, return the status of the refusal only: texts of errors differ.
        """
        status, _ = self.ask("POST", "/dags", {"name": name, "spec": spec})
        if status != 201:
            return {"refused": status}

        def start() -> bool:
            # Dagu's server knows a new file a moment later.
            # With equal run ids the ids of sub-runs are equal too: both sides derive them in the same way.
            status, answer = self.ask("POST", f"/dags/{name}/start", {"dagRunId": _RUN_ID})
            assert status == 200, (status, answer)
            return True

        eventually(start)
        run = f"/dag-runs/{name}/{_RUN_ID}"

        def ended() -> dict[str, Any]:
            found = self._details(run)
            assert found["statusLabel"] in _ENDED, found["statusLabel"]
            assert all(node["statusLabel"] != "running" for node in _nodes(found)), "a handler runs"
            return found

        def finished() -> bool:
            # In Dagu a run has its last status before its handlers have ended.
            return self._details(run)["finishedAt"] not in ("", "-")

        try:
            eventually(ended, timeout_s=_RUN_S)
            try:
                eventually(finished, timeout_s=self._patience_s)
            except AssertionError:
                if self._must_finish:
                    raise
            eventually(ended, timeout_s=_RUN_S)
            return self.seen(name)
        except AssertionError as error:
            # So the comparison goes on, and names the workflow and the side.
            return {"unfinished": str(error)}

    def seen(self, name: str) -> dict[str, Any]:
        """Return the statuses, logs and outputs of the run of a workflow as they are now."""
        run = f"/dag-runs/{name}/{_RUN_ID}"
        details = self._details(run)
        _, outputs = self.ask("GET", f"{run}/outputs")
        return {
            "status": details["statusLabel"],
            "nodes": {node["step"]["name"]: node["statusLabel"] for node in _nodes(details)},
            "logs": {node["step"]["name"]: self._logs(run, node["step"]["name"]) for node in details["nodes"]},
            "outputs": (outputs or {}).get("outputs") or {},
        }

    def _details(self, run: str) -> dict[str, Any]:
        status, answer = self.ask("GET", run)
        assert status == 200, answer
        found: dict[str, Any] = answer["dagRunDetails"]
        return found

    def _logs(self, run: str, step: str) -> list[str]:
        texts = []
        for stream in ("stdout", "stderr"):
            _, answer = self.ask("GET", f"{run}/steps/{quote(step)}/log?stream={stream}")
            text = str((answer or {}).get("content") or "").strip()
            texts.append(_INTERNAL.sub("", text).replace("{\n  }", "{}"))
        return texts


def _nodes(details: dict[str, Any]) -> list[dict[str, Any]]:
    handlers = ("onInit", "onSuccess", "onFailure", "onCancel", "onExit")
    return [*details["nodes"], *(details[name] for name in handlers if details.get(name))]


@contextmanager
def dagu(program: Path, folder: Path) -> Iterator[Side]:
    """Run the Dagu ``program`` with its state in ``folder``, and stop it at the end."""
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGU_HOME": str(folder / "dagu"),
        "DAGU_HOST": "127.0.0.1",
        "DAGU_PORT": str(port),
        "DAGU_AUTH_MODE": "none",
    }
    with (folder / "dagu.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "server"], env=env, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            side = Side(f"http://127.0.0.1:{port}", process.pid, must_finish=False, patience_s=_FINISHED_S)

            def healthy() -> bool:
                try:
                    return side.ask("GET", "/health")[0] == 200
                except urllib3.exceptions.HTTPError as error:
                    raise AssertionError(str(error)) from error

            eventually(healthy)
            yield side
        finally:
            process.terminate()
            process.wait(30)
