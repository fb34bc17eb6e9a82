"""What belongs to workspaces, and requests to it in the name of their members."""

import re
from dataclasses import dataclass
from typing import Any

from services.api.operations import Operation
from tests.conformance.rest_live import Live

__all__ = ["HIDDEN", "Place", "fill", "member", "state"]

HIDDEN = "hidden"
"""In every name and text of the workspace ``beta`` and of the default workspace, and in none of ``acme``."""
SPEC = f"""\
tags: [{HIDDEN}-tag]
schedule: "0 2 * * *"
queue: {HIDDEN}-queue
steps:
  - name: {HIDDEN}-step
    command: echo {HIDDEN}-log
    output: {HIDDEN.upper()}
  - name: {HIDDEN}-gate
    executor: hitl
    depends: {HIDDEN}-step
"""
_PARAMETER = re.compile(r"\{(\w+)\}")
BODIES: dict[str, Any] = {
    "createNewDAG": {"name": f"{HIDDEN}-new"},
    "updateDAGSpec": {"spec": "steps:\n  - echo changed\n"},
    "renameDAG": {"newFileName": "renamed"},
    "updateDAGSuspensionState": {"suspend": True},
    "executeDAGRunFromSpec": {"spec": "steps:\n  - echo hi\n", "name": HIDDEN, "dagRunId": "other-run"},
    "enqueueDAGRunFromSpec": {
        "spec": "steps:\n  - echo hi\n",
        "name": HIDDEN,
        "dagRunId": "queued-run",
        "queue": f"{HIDDEN}-queue",
    },
    "retryDAGRun": {"dagRunId": f"{HIDDEN}-run"},
    "updateDAGRunStepStatus": {"status": 4},
    "updateSubDAGRunStepStatus": {"status": 4},
    "setQueueLimit": {"maxConcurrency": 1},
    "setPoolCapacity": {"capacity": 1},
    "setSecret": {"value": "of another"},
    "createAPIKey": {"name": f"{HIDDEN}-key", "role": "viewer"},
    "updateAPIKey": {"role": "viewer"},
    "toggleWebhook": {"enabled": False},
    "validateDAGSpec": {"spec": "steps:\n  - echo hi\n"},
}


@dataclass(frozen=True)
class Place:
    """A workspace, and the token of a user who is its administrator and has no other role."""

    live: Live
    workspace: str
    token: str
    values: dict[str, str]
    """The values of path parameters that name what belongs to ``beta``."""

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        headers = {"X-Dagway-Workspace": self.workspace} if self.workspace else {}
        return self.live.ask(method, path, body, token=self.token, headers=headers, **options)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        response = self.ask(method, path, body)
        assert response.status_code < 300, response.get_data(as_text=True)
        return response.get_json(silent=True)

    def call(self, operation: Operation) -> Any:
        """Send a request of an operation to what belongs to ``beta``, as far as its path has names."""
        return self.ask(
            operation.method, self.path(operation), BODIES.get(operation.id, {}) if operation.body else None
        )

    def path(self, operation: Operation) -> str:
        return _PARAMETER.sub(lambda found: self.values[self._value_name(operation, found[1])], operation.path)

    def _value_name(self, operation: Operation, parameter: str) -> str:
        kind = operation.path.split("/")[1]
        return f"{kind}.{parameter}" if f"{kind}.{parameter}" in self.values else parameter


def member(admin: Place, workspace: str, name: str) -> Place:
    """Create a workspace and a user that has a role in it only."""
    admin.done("POST", "/workspaces", {"name": workspace})
    body = {"username": name, "password": f"{name}-long-enough", "role": "none"}
    user_id = admin.done("POST", "/users", body)["user"]["id"]
    admin.done("PUT", f"/workspaces/{workspace}/members/{user_id}", {"role": "admin"})
    token = admin.live.post("/auth/login", {"username": name, "password": f"{name}-long-enough"})["token"]
    return Place(admin.live, workspace, token, admin.values)


def fill(place: Place) -> str:
    """Create one of each thing in a workspace; return the id of its API key."""
    place.done("POST", "/dags", {"name": HIDDEN, "spec": SPEC})
    place.done("PUT", f"/queues/{HIDDEN}-queue", {"maxConcurrency": 3})
    place.done("PUT", f"/pools/{HIDDEN}-pool", {"capacity": 3})
    place.done("PUT", f"/secrets/{HIDDEN}_secret", {"value": "x"})
    place.done("POST", f"/dags/{HIDDEN}/webhook")
    key = place.done("POST", "/api-keys", {"name": f"{HIDDEN}-key", "role": "operator"})["apiKey"]
    # The same run id and the same Idempotency-Key in each workspace.
    headers = {"X-Dagway-Workspace": place.workspace} if place.workspace else {}
    started = place.live.ask(
        "POST",
        f"/dags/{HIDDEN}/start",
        {"dagRunId": f"{HIDDEN}-run"},
        token=place.token,
        headers={**headers, "Idempotency-Key": f"{HIDDEN}-command"},
    )
    assert started.status_code == 200, started.get_data(as_text=True)
    place.live.until(HIDDEN, f"{HIDDEN}-run", 7, token=place.token, headers=headers)
    place.done("POST", f"/dags/{HIDDEN}/pause", {})
    place.done("POST", f"/dags/{HIDDEN}/enqueue", {"dagRunId": f"{HIDDEN}-queued"})
    return str(key["id"])


def state(beta: Place) -> dict[str, Any]:
    """Return what the reads of a workspace say, except what follows from the time."""
    reads = ["/dags", f"/dags/{HIDDEN}/spec", "/dag-runs", f"/dag-runs/{HIDDEN}/{HIDDEN}-run", "/queues", "/pools"]
    reads += ["/secrets", "/api-keys", "/webhooks", "/pauses", "/approvals", f"/dags/{HIDDEN}/versions"]
    return {path: beta.done("GET", path) for path in reads}
