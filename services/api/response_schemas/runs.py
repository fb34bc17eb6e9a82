# ruff: noqa: N815, D101 - the fields are the wire's own names, and say what they are
"""What answers look like: the models behind the OpenAPI document. Shapes are made in ``shapes_*``.

Tests hold the two together. Further fields may be there: clients ignore what they do not know.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DAG",
    "Condition",
    "CreateDAGResponse",
    "DAGDetailsResponse",
    "DAGFile",
    "DAGRunDetails",
    "DAGRunSummary",
    "DiffResponse",
    "ErrorsResponse",
    "HistoryResponse",
    "ListDAGsResponse",
    "ListRunsResponse",
    "ListSubRunsResponse",
    "Log",
    "OutputsResponse",
    "RescheduleResponse",
    "RestoreResponse",
    "RunInDAGResponse",
    "RunResponse",
    "RunSpecResponse",
    "SearchResponse",
    "Shape",
    "SpecResponse",
    "StartResponse",
    "TagsResponse",
    "ValidateResponse",
    "Version",
    "VersionText",
    "VersionsResponse",
]

RunLabel = Literal[
    "not_started",
    "running",
    "failed",
    "aborted",
    "succeeded",
    "queued",
    "partially_succeeded",
    "waiting",
    "rejected",
]
NodeLabel = Literal[
    "not_started",
    "running",
    "failed",
    "aborted",
    "succeeded",
    "skipped",
    "partially_succeeded",
    "waiting",
    "rejected",
]


class Shape(BaseModel):
    """Base of all: camel-case names are the fields' own, ``None`` means that a field may be left out."""

    model_config = ConfigDict(extra="allow")


class Schedule(Shape):
    expression: str


class RunConfig(Shape):
    disableParamEdit: bool
    disableRunIdEdit: bool


class Condition(Shape):
    condition: str
    expected: str = ""
    negate: bool = False
    error: str = ""


class CommandEntry(Shape):
    command: str
    args: list[str] = []


class Step(Shape):
    name: str
    id: str = ""
    description: str = ""
    dir: str = ""
    commands: list[CommandEntry] = []
    script: str = ""
    output: str = ""
    call: str = ""
    params: str = ""
    parallel: dict[str, Any] = {}
    depends: list[str] = []
    repeatPolicy: dict[str, Any] = {}
    mailOnError: bool = False
    preconditions: list[Condition] = []
    timeoutSec: int = 0
    executorConfig: dict[str, Any]


class DAG(Shape):
    name: str
    group: str = ""
    description: str = ""
    params: list[str] = []
    defaultParams: str = ""
    tags: list[str] = []
    schedule: list[Schedule] = []
    queue: str = ""
    maxActiveRuns: int = 0
    runConfig: RunConfig | None = None


class DAGDetails(DAG):
    delay: int = 0
    env: list[str] = []
    handlerOn: dict[str, Step] = {}
    histRetentionDays: int = 0
    logDir: str = ""
    maxActiveSteps: int = 0
    preconditions: list[Condition] = []
    steps: list[Step] = []


class DAGRunSummary(Shape):
    rootDAGRunName: str
    rootDAGRunId: str
    parentDAGRunName: str = ""
    parentDAGRunId: str = ""
    dagRunId: str
    name: str
    status: int = Field(ge=0, le=8)
    statusLabel: RunLabel
    queuedAt: str = ""
    startedAt: str
    finishedAt: str
    log: str
    params: str = ""
    workerId: str = ""
    waitingFor: str = Field(default="", description="what a queued run waits for, true at this moment")


class SubDAGRun(Shape):
    dagRunId: str
    params: str = ""


class Progress(Shape):
    """How far a step says it is: an addition to the contract."""

    current: float
    total: float
    percent: float
    text: str


class Remark(Shape):
    """Something a step said to people: an addition to the contract."""

    level: Literal["notice", "warning"]
    text: str


class Node(Shape):
    step: Step
    stdout: str
    stderr: str
    startedAt: str
    finishedAt: str
    status: int = Field(ge=0, le=8)
    statusLabel: NodeLabel
    retryCount: int
    doneCount: int
    subRuns: list[SubDAGRun]
    subRunsRepeated: list[SubDAGRun]
    error: str = ""
    waitingFor: str = Field(default="", description="why the node of a running run has not started yet")
    progress: Progress | None = None
    remarks: list[Remark] = Field(default_factory=list)
    exitCode: int | None = Field(default=None, description="of the last attempt's process: an addition to the contract")


class DAGRunDetails(DAGRunSummary):
    nodes: list[Node]
    onSuccess: Node | None = None
    onFailure: Node | None = None
    onCancel: Node | None = None
    onExit: Node | None = None
    preconditions: list[Condition]
    traceId: str = Field(default="", description="of the trace its spans and logs belong to")


class DAGFile(Shape):
    fileName: str
    dag: DAG
    latestDAGRun: DAGRunSummary
    suspended: bool
    errors: list[str]
    nextRun: str = ""
    waitingFor: str = Field(default="", description="why the schedule starts nothing now")


class Pagination(Shape):
    totalRecords: int
    currentPage: int
    totalPages: int
    nextPage: int | None
    prevPage: int | None


class ListDAGsResponse(Shape):
    """``errors``: files of the followed folder that cannot be loaded, and why."""

    dags: list[DAGFile]
    errors: list[str]
    pagination: Pagination


class TagsResponse(Shape):
    """``errors``: faulty DAGs and files of the followed folder that cannot be loaded, and why."""

    tags: list[str]
    errors: list[str]


class ValidateResponse(Shape):
    valid: bool
    errors: list[str]
    dag: DAGDetails | None = None


class CreateDAGResponse(Shape):
    name: str


class LocalDag(Shape):
    name: str
    dag: DAGDetails
    errors: list[str]


class DAGDetailsResponse(Shape):
    dag: DAGDetails
    localDags: list[LocalDag]
    latestDAGRun: DAGRunDetails
    suspended: bool
    errors: list[str]
    nextRun: str = ""


class SpecResponse(Shape):
    dag: DAGDetails
    spec: str
    errors: list[str]


class ErrorsResponse(Shape):
    errors: list[str]


class GridItem(Shape):
    name: str
    history: list[int]


class HistoryResponse(Shape):
    dagRuns: list[DAGRunDetails]
    gridData: list[GridItem]


class RunInDAGResponse(Shape):
    dagRun: DAGRunDetails


class Match(Shape):
    line: str
    lineNumber: int
    startLine: int


class SearchResult(Shape):
    name: str
    dag: DAG
    matches: list[Match]


class SearchResponse(Shape):
    results: list[SearchResult]
    errors: list[str]


class StartResponse(Shape):
    dagRunId: str


class RescheduleResponse(StartResponse):
    queued: bool


class ListRunsResponse(Shape):
    dagRuns: list[DAGRunSummary]
    nextCursor: str | None = None


class RunResponse(Shape):
    dagRunDetails: DAGRunDetails


class RunSpecResponse(Shape):
    spec: str


class OutputsResponse(Shape):
    metadata: dict[str, str]
    outputs: dict[str, str]


class SubRunDetail(SubDAGRun):
    status: int
    statusLabel: RunLabel
    startedAt: str
    finishedAt: str


class ListSubRunsResponse(Shape):
    subRuns: list[SubRunDetail]


class Log(Shape):
    content: str
    lineCount: int
    totalLines: int
    hasMore: bool
    isEstimate: bool


class Version(Shape):
    version: int
    hash: str
    createdAt: str
    createdBy: str


class VersionText(Version):
    spec: str


class VersionsResponse(Shape):
    versions: list[Version]


class DiffResponse(Shape):
    from_: int = Field(alias="from")
    to: int
    diff: str


class RestoreResponse(Shape):
    errors: list[str]
    version: int
