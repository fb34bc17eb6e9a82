"""Writes a home as Dagu 1.30 lays it out: the files that an import reads, and no others."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt

__all__ = ["BEGAN", "HomeOfDagu"]

BEGAN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
"""When the first run began; each later one begins a minute after the one before."""

Node = dict[str, Any]


class HomeOfDagu:
    """A home in the folder ``root``. ``state``: the folder of what Dagu writes, if it is another one."""

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self.root = root
        self.state = state or root
        self._runs = 0
        (root / "dags").mkdir(parents=True)

    def workflow(self, name: str, text: str, *, suspended: bool = False) -> None:
        """Write a workflow file; ``name`` is its path without extension."""
        path = self.root / "dags" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if suspended:
            (self.state / "suspend").mkdir(parents=True, exist_ok=True)
            (self.state / "suspend" / f"{name}.suspend").touch()

    def run(self, name: str, run_id: str, text: str, status: int, nodes: list[Node], **more: Any) -> Path:
        """Write a root run and return its folder. ``more``: fields of its status."""
        at = BEGAN + timedelta(minutes=self._runs)
        self._runs += 1
        folder = self.state / f"data/dag-runs/{name}/dag-runs/{at:%Y/%m/%d}/dag-run_{at:%Y%m%d_%H%M%SZ}_{run_id}"
        self.attempt(folder, name, run_id, text, status, nodes=nodes, at=at, more=more)
        return folder

    def sub_run(self, root: Path, run_id: str, name: str, text: str, *, caller: str, nodes: list[Node]) -> None:
        """Write a sub-run that has succeeded, of the root run in the folder ``root``, by a document of its file."""
        parent = {"name": caller, "id": root.name.split("_", 3)[-1]}
        folder = root / "children" / f"child_{run_id}"
        self.attempt(folder, name, run_id, text, 4, nodes=nodes, file=caller, more={"root": parent, "parent": parent})

    def attempt(
        self, folder: Path, name: str, run_id: str, text: str, status: int, *,
        nodes: list[Node], at: datetime = BEGAN, file: str = "", more: Node | None = None,
    ) -> None:  # fmt: skip
        """Write one attempt of a run. The times of its steps are in the seconds after ``at``."""
        attempt = folder / f"attempt_{at:%Y%m%d_%H%M%S}_000Z_{len(list(folder.glob('attempt_*'))):06x}"
        attempt.mkdir(parents=True)
        timed = [self._timed(node, run_id, at + timedelta(seconds=place)) for place, node in enumerate(nodes)]
        facts = {
            "root": {"name": name, "id": run_id},
            "name": name,
            "dagRunId": run_id,
            "status": status,
            "nodes": timed,
            "createdAt": int(at.timestamp() * 1000),
            "startedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "finishedAt": f"{at + timedelta(seconds=30):%Y-%m-%dT%H:%M:%SZ}",
            **{key: self._timed(it, run_id, at) if key.startswith("on") else it for key, it in (more or {}).items()},
        }
        (attempt / "status.jsonl").write_text(json.dumps(facts) + "\n")
        queued = status == 5
        dag = {
            "name": name,
            "location": "" if queued else str(self.root / "dags" / f"{file or name}.yaml"),
            "env": None,
            "yamlData": base64.b64encode(text.encode()).decode(),
        }
        (attempt / "dag.json").write_text(json.dumps(dag))

    def user(self, user_id: str, username: str, password: str, role: str = "operator", **more: Any) -> None:
        """Write a user. ``more``: fields of Dagu 2."""
        facts = {"username": username, "role": role, "password_hash": _hash(password), **more}
        self._account("users", user_id, facts)

    def api_key(self, key_id: str, name: str, key: str, role: str = "operator") -> None:
        """Write an API key."""
        more = {"name": name, "description": "", "role": role, "key_hash": _hash(key), "key_prefix": key[:8]}
        self._account("apikeys", key_id, {**more, "created_by": "somebody"})

    def webhook(self, hook_id: str, workflow: str, token: str) -> None:
        """Write the webhook of a workflow."""
        path = self.state / "data/webhooks" / f"{hook_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "id": hook_id,
            "dagName": workflow,
            "tokenHash": _hash(token),
            "tokenPrefix": token[:12],
            "enabled": True,
            "createdAt": "2026-03-01T10:00:00.123456789Z",
            "updatedAt": "2026-03-01T10:00:00.123456789Z",
            "createdBy": "somebody",
        }
        path.write_text(json.dumps(facts))

    def _account(self, kind: str, account_id: str, facts: dict[str, Any]) -> None:
        path = self.state / "data" / kind / f"{account_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        times = dict.fromkeys(("created_at", "updated_at"), "2026-03-01T10:00:00.123456789Z")
        path.write_text(json.dumps({"id": account_id, **facts, **times}))

    def _timed(self, node: Node, run_id: str, at: datetime) -> Node:
        """Return a node with times and log files. ``log`` is what it printed."""
        node = dict(node)
        text = node.pop("log", None)
        step = node.pop("name")
        if text is None:
            return {"step": {"name": step}, "stdout": "", "stderr": "", "startedAt": "", "finishedAt": "", **node}
        paths = {}
        for stream, printed in (("stdout", text), ("stderr", "")):
            path = self.state / f"logs/w/dag-run_{run_id}/run_1/{step.replace(' ', '_')}.{stream[3:]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(printed)
            paths[stream] = str(path)
        moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        return {"step": {"name": step}, **paths, "startedAt": moment, "finishedAt": moment, "doneCount": 1, **node}


def _hash(secret: str) -> str:
    """Return a hash as Dagu makes it, at the lowest cost."""
    return bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4, b"2a")).decode()
