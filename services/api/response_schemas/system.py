# ruff: noqa: N815, D101, RUF012 - the fields are the wire's own names, and say what they are
"""What answers look like that are not about dags and runs. See ``answers``."""

from typing import Any, Literal

from services.api.response_schemas import queues as q
from services.api.response_schemas import runs as a
from services.api.response_schemas.runs import Shape

__all__ = ["ANSWERS", "ErrorBody", "Pending"]

Role = Literal["admin", "manager", "operator", "viewer"]


class ErrorBody(Shape):
    code: str
    message: str
    details: dict[str, Any] = {}


class Pending(Shape):
    """Accepted and durable; the outcome is to be had under ``/commands/{commandId}``."""

    commandId: str


class SchemaRevisions(Shape):
    expected: str
    found: str | None


class Health(Shape):
    status: Literal["healthy", "unhealthy"]
    version: str
    schemaRevision: SchemaRevisions | None
    uptime: int
    timestamp: str
    error: str = ""


class RunningTask(Shape):
    dagRunId: str
    dagName: str
    startedAt: str
    rootDagRunName: str
    rootDagRunId: str
    parentDagRunName: str
    parentDagRunId: str


class Worker(Shape):
    id: str
    labels: dict[str, str]
    totalPollers: int
    busyPollers: int
    runningTasks: list[RunningTask]
    lastHeartbeatAt: str
    healthStatus: Literal["healthy", "warning", "unhealthy"]
    host: str
    version: str
    state: Literal["live", "draining", "stopped", "lost"]
    leaseUntil: str
    executors: list[str]


class Workers(Shape):
    workers: list[Worker]
    errors: list[str]


class Instance(Shape):
    instanceId: str
    host: str
    status: Literal["active", "inactive", "unknown"]
    startedAt: str
    version: str = ""


class Schedulers(Shape):
    schedulers: list[Instance]


class Coordinators(Shape):
    coordinators: list[Instance]


class Point(Shape):
    timestamp: int
    value: float


class Resources(Shape):
    cpu: list[Point]
    memory: list[Point]
    disk: list[Point]
    load: list[Point]


class Queue(Shape):
    name: str
    type: Literal["global", "dag-based"]
    maxConcurrency: int = 1
    running: list[a.DAGRunSummary]
    queued: list[a.DAGRunSummary]


class QueuesSummary(Shape):
    totalQueues: int
    totalRunning: int
    totalQueued: int
    totalCapacity: int
    utilizationPercentage: float


class Queues(Shape):
    queues: list[Queue]
    summary: QueuesSummary


class Command(Shape):
    commandId: str
    type: str
    outcome: Literal["recorded", "refused"]
    recordedAt: str
    result: dict[str, Any]
    error: ErrorBody | None = None


class User(Shape):
    id: str
    username: str
    role: Role
    createdAt: str
    updatedAt: str


class UserAnswer(Shape):
    user: User


class Users(Shape):
    users: list[User]


class Login(Shape):
    token: str
    expiresAt: str
    user: User


class Message(Shape):
    message: str


class ApiKey(Shape):
    id: str
    name: str
    description: str = ""
    role: Role
    keyPrefix: str
    createdAt: str
    updatedAt: str
    createdBy: str
    lastUsedAt: str | None


class ApiKeyAnswer(Shape):
    apiKey: ApiKey


class ApiKeyMade(ApiKeyAnswer):
    key: str


class ApiKeys(Shape):
    apiKeys: list[ApiKey]


class Webhook(Shape):
    id: str
    dagName: str
    tokenPrefix: str
    enabled: bool
    createdAt: str
    updatedAt: str
    createdBy: str = ""
    lastUsedAt: str = ""


class WebhookMade(Shape):
    webhook: Webhook
    token: str


class Webhooks(Shape):
    webhooks: list[Webhook]


class Triggered(Shape):
    dagRunId: str
    dagName: str


ANSWERS: dict[str, type[Shape]] = {
    "listDAGs": a.ListDAGsResponse,
    "getAllDAGTags": a.TagsResponse,
    "searchDAGs": a.SearchResponse,
    "validateDAGSpec": a.ValidateResponse,
    "createNewDAG": a.CreateDAGResponse,
    "getDAGDetails": a.DAGDetailsResponse,
    "getDAGSpec": a.SpecResponse,
    "updateDAGSpec": a.ErrorsResponse,
    "getDAGDAGRunHistory": a.HistoryResponse,
    "getDAGDAGRunDetails": a.RunInDAGResponse,
    "listDAGVersions": a.VersionsResponse,
    "getDAGVersion": a.VersionText,
    "diffDAGVersions": a.DiffResponse,
    "restoreDAGVersion": a.RestoreResponse,
    "executeDAG": a.StartResponse,
    "enqueueDAGDAGRun": a.StartResponse,
    "stopAllDAGRuns": a.ErrorsResponse,
    "executeDAGRunFromSpec": a.StartResponse,
    "enqueueDAGRunFromSpec": a.StartResponse,
    "rescheduleDAGRun": a.RescheduleResponse,
    "getCommand": Command,
    "listDAGRuns": a.ListRunsResponse,
    "listDAGRunsByName": a.ListRunsResponse,
    "getDAGRunDetails": a.RunResponse,
    "getDAGRunSpec": a.RunSpecResponse,
    "getDAGRunOutputs": a.OutputsResponse,
    "getSubDAGRuns": a.ListSubRunsResponse,
    "getSubDAGRunDetails": a.RunResponse,
    "getDAGRunLog": a.Log,
    "getDAGRunStepLog": a.Log,
    "getSubDAGRunLog": a.Log,
    "getSubDAGRunStepLog": a.Log,
    "getHealthStatus": Health,
    "getWorkers": Workers,
    "getSchedulerStatus": Schedulers,
    "getCoordinatorStatus": Coordinators,
    "getResourceHistory": Resources,
    "listQueues": Queues,
    "listDAGSlots": q.Slots,
    "setQueueLimit": q.QueueLimit,
    "removeQueueLimit": q.Removed,
    "listPauses": q.Pauses,
    "pauseAll": q.PauseState,
    "resumeAll": q.PauseState,
    "pauseQueue": q.PauseState,
    "resumeQueue": q.PauseState,
    "pauseDAG": q.PauseState,
    "resumeDAG": q.PauseState,
    "listPools": q.Pools,
    "setPoolCapacity": q.PoolCapacity,
    "removePool": q.Removed,
    "login": Login,
    "getCurrentUser": UserAnswer,
    "changePassword": Message,
    "listUsers": Users,
    "createUser": UserAnswer,
    "getUser": UserAnswer,
    "updateUser": UserAnswer,
    "updateUserByPut": UserAnswer,
    "resetUserPassword": Message,
    "listAPIKeys": ApiKeys,
    "createAPIKey": ApiKeyMade,
    "getAPIKey": ApiKeyAnswer,
    "updateAPIKey": ApiKeyAnswer,
    "listWebhooks": Webhooks,
    "getDAGWebhook": Webhook,
    "createDAGWebhook": WebhookMade,
    "regenerateDAGWebhookToken": WebhookMade,
    "toggleDAGWebhook": Webhook,
    "triggerWebhook": Triggered,
}
"""The body of an operation's success, by the operation's id; the others have none, or are no JSON."""
