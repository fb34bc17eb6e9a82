"""Calls every write operation of the API: done, refused by role and refused by state. Notes what must be audited."""

from typing import Any

from shared.transport.base import COMMANDS, Outgoing
from tests.conformance.audit_requests import Expected, Walk
from tests.conformance.rest_live import Live
from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["walk_all"]

SPEC = "steps:\n  - name: s\n    command: echo one\n"
LONG = "steps:\n  - name: s\n    command: sleep 600\n"
GATED = "steps:\n  - name: ok\n    type: hitl\n  - name: also\n    type: hitl\n"
CALLING = "steps:\n  - name: up\n    call: below\n---\nname: below\n" + GATED
CALLED = "steps:\n  - name: up\n    call: below\n---\nname: below\n" + SPEC
PASSWORD = "long-enough"


def walk_all(live: Live, admin: str) -> list[Expected]:
    """Call every write operation; return what the audit log must say."""
    walk = Walk(live, admin)
    _accounts(walk)
    _dags(walk)
    _runs(walk)
    _queues(walk)
    _workers(walk)
    _secrets(walk)
    _approvals(walk)
    _webhooks(walk)
    _dead_letters(walk)
    for run_id in ("e1", "q1", "w1"):
        walk.until("au", run_id, 4)
    # Last, everything that the entries are about is removed.
    renamed = ("/dags/au/rename", {"newFileName": "au3"}, "not_found", "au")
    walk.case("renameDAG", "POST", "/dags/au/rename", {"newFileName": "au2"}, low="op", target="au", state=renamed)
    walk.case("deleteDAG", "DELETE", "/dags/au2", low="op", target="au2", state=("/dags/au2", None, "not_found", "au2"))
    return walk.expected


def _accounts(walk: Walk) -> None:
    body: dict[str, Any]
    for name, role in (("vi", "viewer"), ("op", "operator"), ("ma", "manager")):
        body = {"username": name, "password": PASSWORD, "role": role}
        walk.send("createUser", "POST", "/users", body, target=name)
        walk.tokens[name] = _log_in(walk, name, PASSWORD)
    wrong = {"username": "vi", "password": "wrong-one"}
    walk.send("login", "POST", "/auth/login", wrong, by="anonymous", target="vi", code="unauthorized", token="")
    walk.send(
        "startSession", "POST", "/auth/session", wrong, by="anonymous", target="vi", code="unauthorized", token=""
    )
    right = {"username": "vi", "password": PASSWORD}
    walk.send("startSession", "POST", "/auth/session", right, by="vi", target="vi", token="")
    walk.live.client.delete_cookie("dagway-session")
    body = {"username": "tmp", "password": PASSWORD, "role": "viewer"}
    taken = ("/users", body, "already_exists", "tmp")
    made = walk.case("createUser", "POST", "/users", body, low="ma", target="tmp", named=False, state=taken)
    user_id, unknown = made["user"]["id"], "00000000-none"
    user, nobody = f"/users/{user_id}", f"/users/{unknown}"
    promoted = {"role": "operator"}
    missing = (nobody, promoted, "not_found", unknown)
    walk.case("updateUser", "PATCH", user, promoted, low="ma", target=user_id, state=missing)
    walk.case("updateUserByPut", "PUT", user, promoted, low="ma", target=user_id, state=missing)
    reset = {"newPassword": "another-one"}
    walk.case(
        "resetUserPassword",
        "POST",
        f"{user}/reset-password",
        reset,
        low="ma",
        target=user_id,
        state=(f"{nobody}/reset-password", reset, "not_found", unknown),
    )
    _workspaces(walk, user_id)
    walk.case("deleteUser", "DELETE", user, low="ma", target=user_id, state=(user, None, "not_found", user_id))
    _own_password(walk)
    _keys(walk)


def _workspaces(walk: Walk, user_id: str) -> None:
    path, body = "/workspaces", {"name": "space"}
    taken = (path, body, "already_exists", "space")
    walk.case("createWorkspace", "POST", path, body, low="ma", target="space", named=False, state=taken)
    one, member, none = f"{path}/space", f"{path}/space/members/{user_id}", f"{path}/none-such"
    text, role = {"description": "new"}, {"role": "viewer"}
    state = (none, text, "not_found", "none-such")
    walk.case("updateWorkspace", "PATCH", one, text, low="ma", target="space", state=state)
    state = (f"{none}/members/{user_id}", role, "not_found", "none-such")
    walk.case("setWorkspaceMember", "PUT", member, role, low="ma", target="space", state=state)
    walk.case(
        "removeWorkspaceMember", "DELETE", member, low="ma", target="space", state=(member, None, "not_found", "space")
    )
    pool, only, unknown = "/worker-pools/gpu", {"workspaces": ["space"]}, {"workspaces": ["none-such"]}
    missing = (pool, unknown, "not_found", "gpu")
    walk.case("reserveWorkerPool", "PUT", pool, only, low="ma", target="gpu", state=missing)
    walk.case("releaseWorkerPool", "DELETE", pool, low="ma", target="gpu", state=(pool, None, "not_found", "gpu"))
    walk.case("deleteWorkspace", "DELETE", one, low="ma", target="space", state=(one, None, "not_found", "space"))


def _log_in(walk: Walk, name: str, password: str) -> str:
    """Log in. Equal entries within seconds become one, so the user's next login waits for the entry of the last one."""
    earlier = [each for each in walk.expected if (each.operation_id, each.actor, each.code) == ("login", name, "")]

    def recorded() -> bool:
        found = walk.live.get("/audit?operation=login", token=walk.tokens["admin"])["entries"]
        return {each.request_id for each in earlier} <= {entry.get("requestId") for entry in found}

    eventually(recorded)
    login = {"username": name, "password": password}
    return str(walk.send("login", "POST", "/auth/login", login, by=name, target=name, token="")["token"])


def _own_password(walk: Walk) -> None:
    key = walk.live.post("/api-keys", {"name": "low", "role": "viewer"}, status=201, token=walk.tokens["admin"])["key"]
    body = {"currentPassword": PASSWORD, "newPassword": "long-enough-2"}
    path = "/auth/change-password"
    walk.send("changePassword", "POST", path, body, by="apikey:low", target="", code="forbidden", token=key)
    walk.send("changePassword", "POST", path, body, by="vi", target="vi")
    other = _log_in(walk, "vi", "long-enough-2")
    walk.tokens["vi"] = _log_in(walk, "vi", "long-enough-2")
    walk.send("changePassword", "POST", path, body, by="vi", target="", code="unauthorized")
    walk.send("logout", "POST", "/auth/logout", by="vi", target="vi", token=other)


def _keys(walk: Walk) -> None:
    body = {"name": "ci", "role": "viewer"}
    taken = ("/api-keys", body, "already_exists", "ci")
    made = walk.case("createAPIKey", "POST", "/api-keys", body, low="ma", target="ci", named=False, state=taken)
    key_id, unknown = made["apiKey"]["id"], "00000000-none"
    path, role = f"/api-keys/{key_id}", {"role": "operator"}
    missing = (f"/api-keys/{unknown}", role, "not_found", unknown)
    walk.case("updateAPIKey", "PATCH", path, role, low="ma", target=key_id, state=missing)
    walk.case("deleteAPIKey", "DELETE", path, low="ma", target=key_id, state=(path, None, "not_found", key_id))


def _dags(walk: Walk) -> None:
    body = {"name": "au", "spec": SPEC}
    taken = ("/dags", body, "already_exists", "au")
    walk.case("createNewDAG", "POST", "/dags", body, low="op", target="au", named=False, state=taken)
    spec = {"spec": SPEC.replace("one", "two")}
    walk.case(
        "updateDAGSpec",
        "PUT",
        "/dags/au/spec",
        spec,
        low="op",
        target="au",
        state=("/dags/none/spec", spec, "not_found", "none"),
    )
    walk.case(
        "restoreDAGVersion",
        "POST",
        "/dags/au/versions/1/restore",
        low="op",
        target="au",
        state=("/dags/au/versions/99/restore", None, "not_found", "au"),
    )
    suspend = {"suspend": True}
    walk.case(
        "updateDAGSuspensionState",
        "POST",
        "/dags/au/suspend",
        suspend,
        low="vi",
        target="au",
        state=("/dags/none/suspend", suspend, "not_found", "none"),
    )


def _runs(walk: Walk) -> None:
    for operation_id, path, body, named in (
        ("executeDAG", "/dags/au/start", {"dagRunId": "e1"}, True),
        ("executeDAGSync", "/dags/au/start-sync", {"dagRunId": "e0", "timeout": 60}, True),
        ("enqueueDAGDAGRun", "/dags/au/enqueue", {"dagRunId": "q1"}, True),
        ("executeDAGRunFromSpec", "/dag-runs", {"spec": SPEC, "name": "inl", "dagRunId": "i1"}, False),
        ("enqueueDAGRunFromSpec", "/dag-runs/enqueue", {"spec": SPEC, "name": "inl", "dagRunId": "i2"}, False),
    ):
        target = "au" if named else body["dagRunId"]
        taken = (path, body, "already_exists", str(body["dagRunId"]))
        walk.case(operation_id, "POST", path, body, low="vi", target=str(target), named=named, state=taken)
    walk.until("au", "e1", 4)
    unknown = "/dag-runs/au/nope"
    for operation_id, method, path, body in (
        ("rescheduleDAGRun", "POST", "reschedule", {"dagRunId": "e2"}),
        ("retryDAGRun", "POST", "retry", {"dagRunId": "e1"}),
    ):
        missing = (f"{unknown}/{path}", {"dagRunId": "nope"}, "not_found", "nope")
        walk.case(operation_id, method, f"/dag-runs/au/e1/{path}", body, low="vi", target="e1", state=missing)
    walk.until("au", "e2", 4)
    status = {"status": 4}
    walk.case(
        "updateDAGRunStepStatus",
        "PATCH",
        "/dag-runs/au/e2/steps/s/status",
        status,
        low="vi",
        target="e2",
        state=(f"{unknown}/steps/s/status", status, "not_found", "nope"),
    )
    walk.live.post("/dags", {"name": "long", "spec": LONG}, status=201, token=walk.tokens["admin"])
    for run_id in ("l1", "l2"):
        walk.live.post("/dags/long/start", {"dagRunId": run_id}, token=walk.tokens["admin"])
    walk.case("terminateDAGRun", "POST", "/dag-runs/long/l1/stop", low="vi", target="l1")
    walk.until("long", "l1", 3)
    walk.send("terminateDAGRun", "POST", "/dag-runs/long/l1/stop", target="l1", code="not_running")
    none = ("/dags/none/stop-all", None, "not_found", "none")
    walk.case("stopAllDAGRuns", "POST", "/dags/long/stop-all", low="vi", target="long", state=none)
    walk.until("long", "l2", 3)
    walk.send("stopAllDAGRuns", "POST", "/dags/long/stop-all", target="long")
    _bulk(walk)


def _bulk(walk: Walk) -> None:
    def named(run_id: str) -> dict[str, Any]:
        return {"runs": [{"name": "long", "dagRunId": run_id}]}

    admin = walk.tokens["admin"]
    walk.live.post("/dags/long/start", {"dagRunId": "l3"}, token=admin)
    walk.live.post("/dags/long/enqueue", {"dagRunId": "l4"}, token=admin)
    for operation_id, action, run_id in (
        ("dequeueDAGRuns", "dequeue", "l4"),
        ("stopDAGRuns", "stop", "l3"),
        ("retryDAGRuns", "retry", "l3"),
    ):
        path = f"/dag-runs/bulk/{action}"
        none: tuple[str, Any, str, str] = (path, {"runs": []}, "bad_request", "")
        walk.case(operation_id, "POST", path, named(run_id), low="vi", target=run_id, named=False, state=none)
        if action == "stop":
            walk.until("long", "l3", 3)
    # The queue of a DAG has its name.
    walk.send("stopQueue", "POST", "/queues/long/stop-all", by="vi", target="long", code="forbidden")
    walk.send("stopQueue", "POST", "/queues/long/stop-all", target="l3")
    walk.until("long", "l3", 3)
    walk.send("stopQueue", "POST", "/queues/long/stop-all", target="long")
    path, none = "/dag-runs/bulk/remove", ("/dag-runs/bulk/remove", {"runs": []}, "bad_request", "")
    walk.case("removeDAGRuns", "POST", path, named("l3"), low="op", target="l3", named=False, state=none)
    walk.live.post("/dags/long/start", {"dagRunId": "l5"}, token=admin)
    walk.send("terminateDAGRun", "POST", "/dag-runs/long/l5/stop", target="l5")
    walk.until("long", "l5", 3)
    path = "/dag-runs/long/l5"
    walk.case("deleteDAGRun", "DELETE", path, low="op", target="l5", state=(path, None, "not_found", "l5"))


def _dead_letters(walk: Walk) -> None:
    walk.live.deps.transport.send(Outgoing(COMMANDS, b"no envelope", "poison")).result(PATIENCE_S)

    def undecided() -> str:
        found = walk.live.get("/dead-letters", token=walk.tokens["admin"])["deadLetters"]
        ids = [each["id"] for each in found if each["messageId"] == "poison" and not each["decision"]]
        assert len(ids) == 1, found
        return str(ids[0])

    for operation_id, action in (("returnDeadLetters", "return"), ("discardDeadLetters", "discard")):
        # A message that was returned is a letter again.
        letter = eventually(undecided)
        path = f"/dead-letters/bulk/{action}"
        none: tuple[str, Any, str, str] = (path, {"ids": []}, "bad_request", "")
        walk.case(operation_id, "POST", path, {"ids": [letter]}, low="ma", target=letter, named=False, state=none)


def _queues(walk: Walk) -> None:
    walk.case("pauseAll", "POST", "/pause", {}, low="op", target="")
    for run_id in ("q2", "q3"):
        walk.live.post("/dags/au/enqueue", {"dagRunId": run_id}, token=walk.tokens["admin"])
    for operation_id, method, run_id in (("dequeueDAGRun", "GET", "q2"), ("dequeueDAGRunByPost", "POST", "q3")):
        path = f"/dag-runs/au/{run_id}/dequeue"
        unknown = ("/dag-runs/au/nope/dequeue", None, "not_found", "nope")
        walk.case(operation_id, method, path, low="vi", target=run_id, state=unknown)
    walk.case("resumeAll", "POST", "/resume", {}, low="op", target="", state=("/resume", {}, "bad_request", ""))
    walk.case("pauseQueue", "POST", "/queues/qq/pause", {}, low="op", target="qq")
    nothing: dict[str, Any] = {}
    again = ("/queues/qq/resume", nothing, "bad_request", "qq")
    walk.case("resumeQueue", "POST", "/queues/qq/resume", {}, low="op", target="qq", state=again)
    missing = ("/dags/none/pause", nothing, "not_found", "none")
    walk.case("pauseDAG", "POST", "/dags/au/pause", {}, low="op", target="au", state=missing)
    twice = ("/dags/au/resume", nothing, "bad_request", "au")
    walk.case("resumeDAG", "POST", "/dags/au/resume", {}, low="op", target="au", state=twice)
    for kind, set_id, remove_id, field in (
        ("queues/gq", "setQueueLimit", "removeQueueLimit", "maxConcurrency"),
        ("pools/pp", "setPoolCapacity", "removePool", "capacity"),
    ):
        path, name = f"/{kind}", kind.split("/")[1]
        wrong = (path, {field: 0}, "bad_request", name)
        walk.case(set_id, "PUT", path, {field: 2}, low="op", target=name, state=wrong)
        walk.case(remove_id, "DELETE", path, low="op", target=name, state=(path, None, "not_found", name))


def _workers(walk: Walk) -> None:
    [worker] = walk.live.get("/workers", token=walk.tokens["admin"])["workers"]
    path, nobody = f"/workers/{worker['id']}", "nobody"
    nothing: tuple[str, Any, str, str] = (f"/workers/{nobody}/drain", {}, "not_found", nobody)
    walk.case("drainWorker", "POST", f"{path}/drain", {}, low="op", target=worker["id"], state=nothing)
    again = (f"{path}/resume", None, "bad_request", worker["id"])
    walk.case("resumeWorker", "POST", f"{path}/resume", low="op", target=worker["id"], state=again)


def _secrets(walk: Walk) -> None:
    path, value = "/secrets/au-secret", {"value": "of the audit walk"}
    wrong = (path, {**value, "dags": ["a b"]}, "bad_request", "au-secret")
    walk.case("setSecret", "PUT", path, value, low="op", target="au-secret", state=wrong)
    walk.case("rotateSecrets", "POST", "/secrets/rotate", {}, low="op", target="")
    walk.case(
        "deleteSecret", "DELETE", path, low="op", target="au-secret", state=(path, None, "not_found", "au-secret")
    )


def _approvals(walk: Walk) -> None:
    live, admin = walk.live, walk.tokens["admin"]
    for name, spec in (("gate", GATED), ("calling", CALLING), ("called", CALLED)):
        live.post("/dags", {"name": name, "spec": spec}, status=201, token=admin)
        live.post(f"/dags/{name}/start", {"dagRunId": "g"}, token=admin)
    for operation_id, action, step in (
        ("approveDAGRunStep", "approve", "ok"),
        ("rejectDAGRunStep", "reject", "also"),
    ):
        path = f"/dag-runs/gate/g/steps/{step}/{action}"
        walk.until("gate", "g", 7)
        walk.case(operation_id, "POST", path, {}, low="vi", target="g", state=(path, {}, "bad_request", "g"))
    below = walk.until("calling", "g", 7)["nodes"][0]["subRuns"][0]["dagRunId"]
    for operation_id, action, step in (
        ("approveSubDAGRunStep", "approve", "ok"),
        ("rejectSubDAGRunStep", "reject", "also"),
    ):
        sub_run = f"/dag-runs/calling/g/sub-dag-runs/{below}"
        eventually(lambda place=sub_run: live.get(place, token=admin)["dagRunDetails"]["status"] == 7)  # type: ignore[misc]
        path = f"{sub_run}/steps/{step}/{action}"
        walk.case(operation_id, "POST", path, {}, low="vi", target="g", state=(path, {}, "bad_request", "g"))
    below = walk.until("called", "g", 4)["nodes"][0]["subRuns"][0]["dagRunId"]
    path, status = "/dag-runs/called/g/sub-dag-runs/{}/steps/s/status", {"status": 4}
    missing = (path.format("nope"), status, "not_found", "g")
    walk.case("updateSubDAGRunStepStatus", "PATCH", path.format(below), status, low="vi", target="g", state=missing)


def _webhooks(walk: Walk) -> None:
    path, none = "/dags/au/webhook", "/dags/none/webhook"
    taken = (path, None, "already_exists", "au")
    walk.case("createDAGWebhook", "POST", path, low="ma", target="au", state=taken)
    token = walk.case(
        "regenerateDAGWebhookToken",
        "POST",
        f"{path}/regenerate",
        low="ma",
        target="au",
        state=(f"{none}/regenerate", None, "not_found", "none"),
    )["token"]
    hook = {"by": "webhook:au", "token": token}
    trigger = ("triggerWebhook", "POST", "/webhooks/au", {"dagRunId": "w1"})
    walk.send(*trigger[:3], {}, by="anonymous", target="au", code="unauthorized", token="dagu_wh_wrong")
    walk.send(*trigger, target="w1", **hook)
    walk.send(*trigger, target="w1", code="already_exists", **hook)
    off = {"enabled": False}
    walk.case(
        "toggleDAGWebhook",
        "POST",
        f"{path}/toggle",
        off,
        low="ma",
        target="au",
        state=(f"{none}/toggle", off, "not_found", "none"),
    )
    walk.send(*trigger, target="au", code="forbidden", **hook)
    gone = (path, None, "not_found", "au")
    walk.case("deleteDAGWebhook", "DELETE", path, low="ma", target="au", state=gone)
