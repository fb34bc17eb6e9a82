"""A request for each documented failure of each operation; ``test_rest_failures`` creates the state that they need.

A value that begins with ``$`` is the name of an object that ``test_rest_failures`` has created.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ROWS", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One request that must fail.

    ``gateway`` is the gateway to send it to: ``open`` has no authentication, ``users`` is in builtin mode,
    ``away`` has no database. ``token`` names the user whose token is sent; empty for no token.
    """

    operation: str
    status: int
    code: str
    path: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    data: bytes | None = None
    query: str = ""
    gateway: str = "open"
    token: str = ""

    @property
    def failure(self) -> tuple[str, int, str]:
        return self.operation, self.status, self.code

    def __str__(self) -> str:
        return f"{self.operation}-{self.status}-{self.code}"


BAD, MISSING, TAKEN = (400, "bad_request"), (404, "not_found"), (409, "already_exists")
UNKNOWN, FORBIDDEN = (401, "unauthorized"), (403, "forbidden")
RUNNING, MAX = (409, "already_running"), (409, "max_run_reached")
_SPEC = "steps:\n  - echo hi\n"
_BROKEN = "steps:\n  - name: a\n    command: echo\n    depends: nobody\n"
_USER = {"username": "somebody", "password": "long enough", "role": "viewer"}
_DONE = {"name": "quick", "dagRunId": "done"}
_ON = {"name": "slow", "dagRunId": "on"}
_NO_RUN = {"name": "quick", "dagRunId": "none"}
_SUB = {"name": "calls", "dagRunId": "parent", "subDAGRunId": "$sub"}
_NO_SUB = {**_SUB, "subDAGRunId": "none"}
_STEP = {"stepName": "s"}
_NO_STEP = {"stepName": "nobody"}


def row(operation: str, failure: tuple[int, str], path: Mapping[str, str] | None = None, **more: Any) -> Row:
    return Row(operation, *failure, path=path or {}, **more)


def admin(operation: str, failure: tuple[int, str], path: Mapping[str, str] | None = None, **more: Any) -> Row:
    return Row(operation, *failure, path=path or {}, gateway="users", token=more.pop("token", "$admin"), **more)


def hook(failure: tuple[int, str], dag: str, token: str, **more: Any) -> Row:
    return Row("triggerWebhook", *failure, path={"fileName": dag}, gateway="users", token=token, **more)


_DAG, _NO_DAG = {"fileName": "quick"}, {"fileName": "none"}
_ACCOUNTS = (
    admin("login", UNKNOWN, token="", body={"username": "admin", "password": "wrong"}),
    admin("login", BAD, token="", body={"username": "admin"}),
    row("getCurrentUser", UNKNOWN),
    admin("changePassword", UNKNOWN, body={"currentPassword": "wrong", "newPassword": "long enough"}),
    admin("changePassword", BAD, body={"currentPassword": "adminadmin", "newPassword": "short"}),
    row("listUsers", UNKNOWN),
    row("createUser", UNKNOWN, body=_USER),
    admin("createUser", BAD, body={**_USER, "role": "king"}),
    admin("createUser", BAD, body={**_USER, "password": "short"}),
    admin("createUser", TAKEN, body={**_USER, "username": "dup"}),
    row("getUser", UNKNOWN, {"userId": "x"}),
    admin("getUser", MISSING, {"userId": "x"}),
    row("deleteUser", UNKNOWN, {"userId": "x"}),
    admin("deleteUser", FORBIDDEN, {"userId": "$admin id"}),
    admin("deleteUser", MISSING, {"userId": "x"}),
    row("updateUser", UNKNOWN, {"userId": "x"}, body={"role": "viewer"}),
    admin("updateUser", BAD, {"userId": "$dup"}, body={"role": "king"}),
    admin("updateUser", MISSING, {"userId": "x"}, body={"role": "viewer"}),
    admin("updateUser", TAKEN, {"userId": "$dup"}, body={"username": "admin"}),
    row("resetUserPassword", UNKNOWN, {"userId": "x"}, body={"newPassword": "long enough"}),
    admin("resetUserPassword", BAD, {"userId": "$dup"}, body={"newPassword": "short"}),
    admin("resetUserPassword", MISSING, {"userId": "x"}, body={"newPassword": "long enough"}),
    row("listAPIKeys", FORBIDDEN),
    row("createAPIKey", FORBIDDEN, body={"name": "k", "role": "viewer"}),
    admin("createAPIKey", BAD, body={"name": "", "role": "viewer"}),
    admin("createAPIKey", TAKEN, body={"name": "dup", "role": "viewer"}),
    row("getAPIKey", FORBIDDEN, {"keyId": "x"}),
    admin("getAPIKey", MISSING, {"keyId": "x"}),
    row("deleteAPIKey", FORBIDDEN, {"keyId": "x"}),
    admin("deleteAPIKey", MISSING, {"keyId": "x"}),
    row("updateAPIKey", FORBIDDEN, {"keyId": "x"}, body={"role": "viewer"}),
    admin("updateAPIKey", BAD, {"keyId": "$key"}, body={"role": "king"}),
    admin("updateAPIKey", MISSING, {"keyId": "x"}, body={"role": "viewer"}),
    admin("updateAPIKey", TAKEN, {"keyId": "$key"}, body={"name": "dup"}),
)
_DAGS = (
    row("listDAGs", BAD, query="page=abc"),
    row("createNewDAG", BAD, body={"name": "../x"}),
    row("createNewDAG", BAD, body={"name": "new", "spec": _BROKEN}),
    row("createNewDAG", TAKEN, body={"name": "quick"}),
    row("validateDAGSpec", BAD, body={}),
    row("getDAGDetails", MISSING, _NO_DAG),
    row("deleteDAG", MISSING, _NO_DAG),
    row("executeDAG", BAD, _DAG, body={"dagName": "a b"}),
    row("executeDAG", BAD, _DAG, data=b"{"),
    row("executeDAG", MISSING, _NO_DAG),
    row("executeDAG", RUNNING, {"fileName": "slow"}, body={"singleton": True}),
    row("executeDAG", TAKEN, _DAG, body={"dagRunId": "done"}),
    row("enqueueDAGDAGRun", BAD, _DAG, body={"dagRunId": "latest"}),
    row("enqueueDAGDAGRun", MISSING, _NO_DAG),
    row("enqueueDAGDAGRun", RUNNING, {"fileName": "slow"}, body={"singleton": True}),
    row("enqueueDAGDAGRun", TAKEN, _DAG, body={"dagRunId": "done"}),
    row("enqueueDAGDAGRun", MAX, {"fileName": "line"}, body={"singleton": True}),
    row("getDAGDAGRunDetails", MISSING, {"fileName": "quick", "dagRunId": "none"}),
    row("getDAGDAGRunDetails", MISSING, {"fileName": "none", "dagRunId": "latest"}),
    row("getDAGSpec", MISSING, _NO_DAG),
    row("updateDAGSpec", BAD, _DAG, body={}),
    row("updateDAGSpec", MISSING, _NO_DAG, body={"spec": _SPEC}),
    row("updateDAGSpec", MISSING, _NO_DAG, body={"spec": _BROKEN}),
    row("updateDAGSuspensionState", BAD, _DAG, body={"suspend": "yes"}),
    row("updateDAGSuspensionState", MISSING, _NO_DAG, body={"suspend": True}),
    row("renameDAG", BAD, _DAG, body={"newFileName": ""}),
    row("renameDAG", (400, "already_running"), {"fileName": "slow"}, body={"newFileName": "slower"}),
    row("renameDAG", MISSING, _NO_DAG, body={"newFileName": "other"}),
    row("renameDAG", TAKEN, _DAG, body={"newFileName": "slow"}),
    row("stopAllDAGRuns", MISSING, _NO_DAG),
    row("searchDAGs", BAD),
)
_RUNS = (
    row("listDAGRuns", BAD, query="status=x"),
    row("listDAGRunsByName", BAD, {"name": "quick"}, query="fromDate=yesterday"),
    row("executeDAGRunFromSpec", BAD, body={"spec": _SPEC}),
    row("executeDAGRunFromSpec", BAD, body={"spec": _BROKEN, "name": "x"}),
    row("executeDAGRunFromSpec", TAKEN, body={"spec": _SPEC, "name": "quick", "dagRunId": "done"}),
    row("executeDAGRunFromSpec", MAX, body={"spec": _SPEC, "name": "slow", "singleton": True}),
    row("enqueueDAGRunFromSpec", BAD, body={"spec": " ", "name": "x"}),
    row("enqueueDAGRunFromSpec", TAKEN, body={"spec": _SPEC, "name": "quick", "dagRunId": "done"}),
    row("enqueueDAGRunFromSpec", MAX, body={"spec": _SPEC, "name": "slow", "singleton": True}),
    row("getDAGRunDetails", MISSING, _NO_RUN),
    row("getDAGRunDetails", MISSING, {"name": "none", "dagRunId": "latest"}),
    row("getDAGRunSpec", MISSING, _NO_RUN),
    row("rescheduleDAGRun", BAD, _DONE, body={"dagName": "a b"}),
    row("rescheduleDAGRun", BAD, _DONE, body={"definitionStrategy": "latest"}),
    row("rescheduleDAGRun", MISSING, _NO_RUN),
    row("rescheduleDAGRun", TAKEN, _DONE, body={"dagRunId": "done"}),
    row("rescheduleDAGRun", MAX, _ON, body={"singleton": True}),
    row("getSubDAGRuns", MISSING, _NO_RUN),
    row("getSubDAGRuns", MISSING, _DONE, query="parentSubDAGRunId=none"),
    row("dequeueDAGRun", BAD, _ON),
    row("dequeueDAGRun", BAD, _DONE),
    row("dequeueDAGRun", MISSING, _NO_RUN),
    row("getDAGRunLog", BAD, _DONE, query="tail=x"),
    row("getDAGRunLog", MISSING, _NO_RUN),
    row("getDAGRunOutputs", MISSING, _NO_RUN),
    row("retryDAGRun", BAD, _DONE, body={"dagRunId": "a b"}),
    row("retryDAGRun", (400, "already_running"), _ON, body={"dagRunId": "on"}),
    row("retryDAGRun", (400, "already_running"), {"name": "line", "dagRunId": "waits"}, body={"dagRunId": "waits"}),
    row("retryDAGRun", MISSING, _NO_RUN, body={"dagRunId": "none"}),
    row("retryDAGRun", MISSING, _DONE, body={"dagRunId": "done", "stepName": "nobody"}),
    row("terminateDAGRun", (400, "not_running"), _DONE),
    row("terminateDAGRun", (400, "not_running"), {"name": "line", "dagRunId": "waits"}),
    row("terminateDAGRun", MISSING, _NO_RUN),
    row("getDAGRunStepLog", BAD, {**_DONE, **_STEP}, query="stream=both"),
    row("getDAGRunStepLog", MISSING, {**_DONE, **_NO_STEP}),
    row("getDAGRunStepLog", MISSING, {**_NO_RUN, **_STEP}),
    row("updateDAGRunStepStatus", BAD, {**_ON, **_STEP}, body={"status": 4}),
    row("updateDAGRunStepStatus", BAD, {**_DONE, **_STEP}, body={"status": 99}),
    row("updateDAGRunStepStatus", MISSING, {**_DONE, **_NO_STEP}, body={"status": 4}),
    row("updateDAGRunStepStatus", MISSING, {**_DONE, "stepName": "onExit"}, body={"status": 4}),
    row("updateDAGRunStepStatus", MISSING, {**_NO_RUN, **_STEP}, body={"status": 4}),
    row("getSubDAGRunDetails", MISSING, _NO_SUB),
    row("getSubDAGRunLog", BAD, _SUB, query="limit=x"),
    row("getSubDAGRunLog", MISSING, _NO_SUB),
    row("getSubDAGRunStepLog", BAD, {**_SUB, **_STEP}, query="offset=x"),
    row("getSubDAGRunStepLog", MISSING, {**_SUB, **_NO_STEP}),
    row("updateSubDAGRunStepStatus", BAD, {**_SUB, **_STEP}, body={"status": "4"}),
    row("updateSubDAGRunStepStatus", MISSING, {**_NO_SUB, **_STEP}, body={"status": 4}),
    row("updateSubDAGRunStepStatus", MISSING, {**_SUB, **_NO_STEP}, body={"status": 4}),
)
_WAITING = {"name": "asks", "dagRunId": "waiting", "stepName": "ok?"}
_APPROVALS = (
    row("approveDAGRunStep", BAD, {**_DONE, **_STEP}),
    row("approveDAGRunStep", BAD, _WAITING, body={"inputs": {"OTHER": "x"}}),
    row("approveDAGRunStep", BAD, _WAITING, body={"inputs": {"WHY": 1}}),
    row("approveDAGRunStep", MISSING, {**_WAITING, **_NO_STEP}),
    row("approveDAGRunStep", MISSING, {**_NO_RUN, **_STEP}),
    row("rejectDAGRunStep", BAD, {**_DONE, **_STEP}),
    row("rejectDAGRunStep", BAD, _WAITING, body={"reason": 1}),
    row("rejectDAGRunStep", MISSING, {**_WAITING, **_NO_STEP}),
    row("rejectDAGRunStep", MISSING, {**_NO_RUN, **_STEP}),
    row("approveSubDAGRunStep", BAD, {**_SUB, **_STEP}),
    row("approveSubDAGRunStep", MISSING, {**_SUB, **_NO_STEP}),
    row("approveSubDAGRunStep", MISSING, {**_NO_SUB, **_STEP}),
    row("rejectSubDAGRunStep", BAD, {**_SUB, **_STEP}),
    row("rejectSubDAGRunStep", MISSING, {**_SUB, **_NO_STEP}),
    row("rejectSubDAGRunStep", MISSING, {**_NO_SUB, **_STEP}),
)
_REST = (
    row("getWorkers", (503, "service_unavailable"), gateway="away"),
    row("triggerWebhook", MISSING, {"fileName": "hooked"}),
    hook(UNKNOWN, "hooked", ""),
    hook(UNKNOWN, "hooked", "dagu_wh_wrong"),
    hook(UNKNOWN, "none", "$hooked"),
    hook(FORBIDDEN, "off", "$off"),
    hook((413, "bad_request"), "hooked", "$hooked", body={"payload": {"a": "x" * 1024 * 1024}}),
    hook(TAKEN, "hooked", "$hooked", body={"dagRunId": "once"}),
    hook(BAD, "hooked", "$hooked", body={"dagRunId": "a b"}),
    hook(BAD, "hooked", "$hooked", body={"payload": "text"}),
    row("listWebhooks", UNKNOWN),
    row("getDAGWebhook", UNKNOWN, _DAG),
    admin("getDAGWebhook", MISSING, _DAG),
    row("createDAGWebhook", UNKNOWN, _DAG),
    admin("createDAGWebhook", MISSING, _NO_DAG),
    admin("createDAGWebhook", TAKEN, {"fileName": "hooked"}),
    row("deleteDAGWebhook", UNKNOWN, _DAG),
    admin("deleteDAGWebhook", MISSING, _DAG),
    row("regenerateDAGWebhookToken", UNKNOWN, _DAG),
    admin("regenerateDAGWebhookToken", MISSING, _NO_DAG),
    row("toggleDAGWebhook", UNKNOWN, _DAG, body={"enabled": True}),
    admin("toggleDAGWebhook", BAD, {"fileName": "hooked"}, body={"enabled": "yes"}),
    admin("toggleDAGWebhook", MISSING, _DAG, body={"enabled": True}),
)
ROWS = (*_ACCOUNTS, *_DAGS, *_RUNS, *_APPROVALS, *_REST)
