"""A write that is repeated with its Idempotency-Key is carried out once and gets the same answer, after any crash."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.api.routes import OPERATIONS
from services.scheduler.loops.housekeeping import Housekeeping
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.harness.client import Answer
from tests.harness.cluster import Cluster, Embedded, running
from tests.harness.cluster import Deployment as System
from tests.harness.eventually import eventually

SPEC, OTHER_SPEC = "steps:\n  - echo one\n", "steps:\n  - echo two\n"
FAILS = "steps:\n  - name: s\n    command: 'false'\n"
SLOW = "maxActiveRuns: 1\nsteps:\n  - name: s\n    command: sleep 300\n"
_NOT_STATE = {"login", "startSession", "validateDAGSpec"}
"""POST operations that change nothing."""


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment) as opened:
        yield opened.app_with(BUILTIN)


class Again:
    """Sends each write twice with the same key, then a different write with that key."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._token = live.log_in()
        self._document = live.get("/openapi.json")
        self.done: set[str] = set()

    def __call__(
        self,
        operation: str,
        path: str,
        body: Any = None,
        other: Any = None,
        *,
        status: int = 200,
        token: str | Callable[[], str] = "",
    ) -> Any:
        method = next(each.method for each in OPERATIONS if each.id == operation)
        headers = {"Idempotency-Key": f"key-of-{operation}"}

        def current() -> str:
            return token() if callable(token) else token or self._token

        first, second = (self._live.ask(method, path, body, token=current(), headers=headers) for _ in range(2))
        assert first.status_code == status, (operation, first.get_data(as_text=True))
        assert (second.status_code, second.data) == (first.status_code, first.data), operation
        if other is not None:
            refused = self._live.refused(method, path, other, token=current(), headers=headers)
            assert refused == (409, "already_exists"), operation
        self._check(operation, first)
        self.done.add(operation)
        return first.get_json(silent=True)

    def _check(self, operation: str, response: Any) -> None:
        """Check that a successful response conforms to the OpenAPI document."""
        [described] = [
            each["responses"][str(response.status_code)]
            for path in self._document["paths"].values()
            for each in path.values()
            if each["operationId"] == operation
        ]
        if "content" not in described:
            assert response.data == b"", operation
            return
        schema = described["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": self._document["components"]}).validate(response.get_json())

    def until(self, name: str, run_id: str, status: int) -> None:
        self._live.until(name, run_id, status, token=self._token)


def test_every_write_is_carried_out_once(live: Live) -> None:
    again = Again(live)
    _dags(again)
    _runs(again)
    _accounts(again)
    _webhooks(again)
    _queues(again)

    writes = {each.id for each in OPERATIONS if each.method != "GET" or each.permission} - _NOT_STATE
    assert writes - again.done - _APPROVALS == set()


_APPROVALS = {f"{word}{sub}DAGRunStep" for word in ("approve", "reject") for sub in ("", "Sub")}
"""Operations tested in ``test_rest_checks_waiting``, since they need a waiting run."""


def _dags(again: Again) -> None:
    again("createNewDAG", "/dags", {"name": "a", "spec": SPEC}, {"name": "b", "spec": SPEC}, status=201)
    again("updateDAGSpec", "/dags/a/spec", {"spec": OTHER_SPEC}, {"spec": SPEC})
    assert again("restoreDAGVersion", "/dags/a/versions/1/restore")["version"] == 3
    again("updateDAGSuspensionState", "/dags/a/suspend", {"suspend": True}, {"suspend": False})
    again("renameDAG", "/dags/a/rename", {"newFileName": "b"}, {"newFileName": "c"})
    again("deleteDAG", "/dags/b", status=204)


def _runs(again: Again) -> None:
    live = again._live
    for name, spec in (("ok", SPEC), ("fails", FAILS), ("slow", SLOW)):
        live.post("/dags", {"name": name, "spec": spec}, status=201, token=again._token)
    started = again("executeDAG", "/dags/fails/start", {"params": "A=1"}, {"params": "A=2"})["dagRunId"]
    again.until("fails", started, 2)
    again("executeDAGSync", "/dags/ok/start-sync", {"timeout": 60}, {"timeout": 60, "params": "A=2"})
    again("retryDAGRun", f"/dag-runs/fails/{started}/retry", {"dagRunId": "second"}, {"dagRunId": "third"})
    again.until("fails", "second", 2)
    path = "/dag-runs/fails/second"
    again("updateDAGRunStepStatus", f"{path}/steps/s/status", {"status": 4}, {"status": 5})
    assert again("rescheduleDAGRun", f"{path}/reschedule", {"dagName": "x"}, {"dagName": "y"})["dagRunId"]
    again("executeDAGRunFromSpec", "/dag-runs", {"name": "i", "spec": SPEC}, {"name": "i", "spec": FAILS})
    again("enqueueDAGRunFromSpec", "/dag-runs/enqueue", {"name": "j", "spec": SPEC}, {"name": "j", "spec": FAILS})
    first = live.post("/dags/slow/start", token=again._token)["dagRunId"]
    waits = again("enqueueDAGDAGRun", "/dags/slow/enqueue", {"dagRunId": "w1"}, {"dagRunId": "w2"})["dagRunId"]
    again("dequeueDAGRun", f"/dag-runs/slow/{waits}/dequeue")
    live.post("/dags/slow/enqueue", {"dagRunId": "w3"}, token=again._token)
    again("dequeueDAGRunByPost", "/dag-runs/slow/w3/dequeue")
    again("terminateDAGRun", f"/dag-runs/slow/{first}/stop")
    again.until("slow", first, 3)
    live.post("/dags/slow/start", token=again._token)
    again("stopAllDAGRuns", "/dags/slow/stop-all")
    _bulk(again)
    _sub_runs(again)


def _bulk(again: Again) -> None:
    live = again._live
    again.until("slow", str(live.get("/dag-runs/slow/latest", token=again._token)["dagRunDetails"]["dagRunId"]), 3)
    live.post("/dags/slow/start", {"dagRunId": "b1"}, token=again._token)
    live.post("/dags/slow/enqueue", {"dagRunId": "b2"}, token=again._token)
    (first, second, none) = ({"name": "slow", "dagRunId": run_id} for run_id in ("b1", "b2", "b3"))
    refused = [{**none, "outcome": "refused", "code": "not_found", "message": "DAG 'slow' has no run 'b3'"}]
    for operation, action, run in (
        ("dequeueDAGRuns", "dequeue", second),
        ("stopDAGRuns", "stop", first),
        ("retryDAGRuns", "retry", first),
    ):
        path = f"/dag-runs/bulk/{action}"
        assert again(operation, path, {"runs": [run, none, run]})["results"] == [{**run, "outcome": "done"}, *refused]
        if action == "stop":
            again.until("slow", "b1", 3)
    live.post("/dags/slow/enqueue", {"dagRunId": "b4"}, token=again._token)
    assert again("stopQueue", "/queues/slow/stop-all") == {"errors": [], "nextCursor": None}
    again.until("slow", "b1", 3)
    # The queued run went first, so that it did not start in the place of the other.
    assert live.ask("GET", "/dag-runs/slow/b4", token=again._token).status_code == 404
    for operation, action in (("returnDeadLetters", "return"), ("discardDeadLetters", "discard")):
        again(operation, f"/dead-letters/bulk/{action}", {"ids": ["0" * 32]})
    removed = again("removeDAGRuns", "/dag-runs/bulk/remove", {"runs": [first, none]})["results"]
    assert removed == [{**first, "outcome": "done"}, *refused]
    assert live.ask("GET", "/dag-runs/slow/b1", token=again._token).status_code == 404
    live.post("/dags/slow/start", {"dagRunId": "b5"}, token=again._token)
    live.post("/dag-runs/slow/b5/stop", token=again._token)
    again.until("slow", "b5", 3)
    again("deleteDAGRun", "/dag-runs/slow/b5", status=204)
    assert live.ask("GET", "/dag-runs/slow/b5", token=again._token).status_code == 404


def _sub_runs(again: Again) -> None:
    spec = f"steps:\n  - name: s\n    call: child\n---\nname: child\n{FAILS}"
    again._live.post("/dags", {"name": "parent", "spec": spec}, status=201, token=again._token)
    again._live.post("/dags/parent/start", {"dagRunId": "r"}, token=again._token)
    again.until("parent", "r", 2)
    subs = again._live.get("/dag-runs/parent/r/sub-dag-runs", token=again._token)["subRuns"]
    path = f"/dag-runs/parent/r/sub-dag-runs/{subs[0]['dagRunId']}/steps/s/status"
    again("updateSubDAGRunStepStatus", path, {"status": 4}, {"status": 5})


def _accounts(again: Again) -> None:
    user = {"username": "u", "password": "long enough", "role": "viewer"}
    made = again("createUser", "/users", user, {**user, "role": "admin"}, status=201)["user"]
    path = f"/users/{made['id']}"
    again("updateUser", path, {"role": "operator"}, {"role": "admin"})
    again("updateUserByPut", path, {"username": "v"}, {"username": "w"})
    again("resetUserPassword", f"{path}/reset-password", {"newPassword": "another one"}, {"newPassword": "a third one"})

    def mine() -> str:
        """Log in; with the new password after the first request, since a new password ends older logins."""
        users = (
            again._live.ask("POST", "/auth/login", {"username": "v", "password": password})
            for password in ("another one", "changed once")
        )
        return next(str(user.get_json()["token"]) for user in users if user.status_code == 200)

    change = {"currentPassword": "another one", "newPassword": "changed once"}
    again("changePassword", "/auth/change-password", change, token=mine)
    ends = mine()
    again("logout", "/auth/logout", status=204, token=ends)
    _workspaces(again, made["id"])
    again("deleteUser", path, status=204)
    key = {"name": "k", "role": "viewer"}
    made = again("createAPIKey", "/api-keys", key, {**key, "role": "admin"}, status=201)
    path = f"/api-keys/{made['apiKey']['id']}"
    again("updateAPIKey", path, {"role": "operator"}, {"role": "admin"})
    again("deleteAPIKey", path, status=204)


def _workspaces(again: Again, user_id: str) -> None:
    body = {"name": "space"}
    again("createWorkspace", "/workspaces", body, {"name": "other"}, status=201)
    again("updateWorkspace", "/workspaces/space", {"maxDags": 5}, {"maxDags": 6})
    member = f"/workspaces/space/members/{user_id}"
    again("setWorkspaceMember", member, {"role": "viewer"}, {"role": "admin"})
    again("removeWorkspaceMember", member, status=204)
    again("reserveWorkerPool", "/worker-pools/spare", {"workspaces": ["default"]}, {"workspaces": ["space"]})
    again("releaseWorkerPool", "/worker-pools/spare", status=204)
    again("deleteWorkspace", "/workspaces/space", status=204)


def _webhooks(again: Again) -> None:
    path = "/dags/ok/webhook"
    again("createDAGWebhook", path, status=201)
    token = again("regenerateDAGWebhookToken", f"{path}/regenerate")["token"]
    again("toggleDAGWebhook", f"{path}/toggle", {"enabled": True}, {"enabled": False})
    again("triggerWebhook", "/webhooks/ok", {"payload": {"a": 1}}, {"payload": {"a": 2}}, token=token)
    again("deleteDAGWebhook", path, status=204)


def _queues(again: Again) -> None:
    again("setQueueLimit", "/queues/q", {"maxConcurrency": 2}, {"maxConcurrency": 3})
    again("removeQueueLimit", "/queues/q", status=200)
    again("setPoolCapacity", "/pools/p", {"capacity": 2}, {"capacity": 3})
    again("removePool", "/pools/p")
    again("setSecret", "/secrets/s", {"value": "one"}, {"value": "two"})
    again("rotateSecrets", "/secrets/rotate")
    again("deleteSecret", "/secrets/s", status=204)
    for operation, path in (("All", ""), ("Queue", "/queues/q"), ("DAG", "/dags/ok")):
        again(f"pause{operation}", f"{path}/pause", {"reason": "x"}, {"reason": "y"})
        bodies = [{"catchup": "none"}, {"catchup": "all"}] if operation != "Queue" else []
        again(f"resume{operation}", f"{path}/resume", *bodies)
    again("drainWorker", "/workers/w1/drain", {"reason": "x"}, {"reason": "y"})
    again("resumeWorker", "/workers/w1/resume")


def test_a_deleted_api_key_is_not_valid_again_when_its_idempotency_key_is_reused_later(
    live: Live, deployment: Deployment
) -> None:
    admin = live.log_in()

    def create() -> dict[str, Any]:
        body = {"name": "monthly", "role": "viewer"}
        return dict(live.post("/api-keys", body, status=201, token=admin, headers={"Idempotency-Key": "monthly"}))

    made = create()
    assert live.ask("GET", "/dags", token=made["key"]).status_code == 200
    live.ask("DELETE", f"/api-keys/{made['apiKey']['id']}", token=admin)

    engine = open_engine(deployment.database_url)
    Housekeeping(Store(engine), lambda: datetime.now(UTC) + timedelta(days=30)).tidy()
    engine.dispose()

    create()
    assert live.ask("GET", "/dags", token=made["key"]).status_code == 401


@pytest.fixture(params=["embedded", "distributed"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    if request.param == "embedded":
        with Embedded(tmp_path) as embedded:
            yield embedded
        return
    servers = (request.getfixturevalue("rabbit_server"), request.getfixturevalue("postgres_server"))
    with Cluster(tmp_path, *running(*servers)) as cluster:
        yield cluster


def test_a_key_is_known_after_gateway_and_scheduler_were_killed(system: System) -> None:
    def decided(path: str, body: Any, key: str) -> Answer:
        """Repeat a write until its answer says what became of it, not only that it was accepted."""

        def answered() -> Answer:
            answer = insist("POST", path, body, key=key)
            assert answer.status != 202, answer
            return answer

        return eventually(answered)

    insist = system.client.insist
    created = decided("/dags", {"name": "a", "spec": SPEC}, "create")
    started = decided("/dags/a/start", {"params": "A=1"}, "start")
    refused = decided("/dags/none/start", {}, "refused")
    assert (created.status, started.status, refused.status) == (201, 200, 404)
    before = insist("GET", "/commands/start").json

    killed = {*system.gateways, *system.schedulers}
    for process in killed:
        process.kill9()
    system.start(*killed)

    for first, (path, body, key) in (
        (created, ("/dags", {"name": "a", "spec": SPEC}, "create")),
        (started, ("/dags/a/start", {"params": "A=1"}, "start")),
        (refused, ("/dags/none/start", {}, "refused")),
    ):
        second = decided(path, body, key)
        assert (second.status, second.json) == (first.status, first.json)
    other = decided("/dags/a/start", {"params": "A=2"}, "start")
    assert (other.status, other.code) == (409, "already_exists")
    after = insist("GET", "/commands/start").json
    assert after == before
    assert (after["outcome"], after["result"]) == ("recorded", {"dagRunId": started.json["dagRunId"]})
    assert insist("GET", "/commands/refused").json["error"]["code"] == "not_found"
    assert insist("GET", "/commands/never").status == 404
    assert [each["dagRunId"] for each in insist("GET", "/dag-runs").json["dagRuns"]] == [started.json["dagRunId"]]
