# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of DAG runs, their nodes, logs and outputs, and of commands."""

from typing import Any, Literal

from pydantic import Field

from services.api.response_schemas.base import ErrorBodySchema, Schema
from services.api.response_schemas.steps import ConditionSchema, StepSchema
from shared.status import NodeLabel, RunLabel

__all__ = [
    "CommandSchema",
    "DAGRunDetailsSchema",
    "DAGRunSummarySchema",
    "ListRunsResponseSchema",
    "ListSubRunsResponseSchema",
    "LogHitsSchema",
    "LogSchema",
    "NodeSchema",
    "OutputsResponseSchema",
    "ProgressSchema",
    "RemarkSchema",
    "RescheduleResponseSchema",
    "RunResponseSchema",
    "RunSpecResponseSchema",
    "StartResponseSchema",
    "StartSyncResponseSchema",
    "StartSyncTimeoutSchema",
    "StartedResponseSchema",
    "SubDAGRunSchema",
    "SubRunDetailSchema",
]


class DAGRunSummarySchema(Schema):
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
    error: str = Field(default="", description="why the run failed or was stopped, if that is known")
    waitingFor: str = Field(
        default="", description="what the run waits for at this moment, if it is queued or no step of it runs"
    )
    firstStartedAt: str = Field(default="", description="start of the run's first attempt, once there are more")
    startedBy: str = Field(default="", description="a user, key or webhook, schedule, or the run that called it")
    scheduleTime: str = Field(default="", description="the scheduled time that the run is for, if there is one")
    runAttempt: int = Field(default=1, ge=1, description="the attempt of the run that startedAt and finishedAt are of")
    durationMs: int = Field(default=0, ge=0, description="milliseconds from startedAt to finishedAt, at least 1")
    stopping: bool = Field(default=False, description="whether the run was stopped, but a step of it has not ended yet")


class SubDAGRunSchema(Schema):
    dagRunId: str
    params: str = ""


class ProgressSchema(Schema):
    """The progress that a step printed last: an addition."""

    current: float
    total: float
    percent: float
    text: str


class RemarkSchema(Schema):
    """A remark that a step prints for people: an addition."""

    level: Literal["notice", "warning"]
    text: str


class NodeSchema(Schema):
    step: StepSchema
    stdout: str
    stderr: str
    startedAt: str
    finishedAt: str
    status: int = Field(ge=0, le=8)
    statusLabel: NodeLabel
    retryCount: int
    doneCount: int
    subRuns: list[SubDAGRunSchema]
    subRunsRepeated: list[SubDAGRunSchema]
    error: str = ""
    approvedAt: str = ""
    approvedBy: str = ""
    approvalInputs: dict[str, str] = Field(default_factory=dict, description="by the input's name in camel case")
    rejectedAt: str = ""
    rejectedBy: str = ""
    rejectionReason: str = ""
    waitingFor: str = Field(default="", description="why the node of a running run has not started yet")
    progress: ProgressSchema | None = None
    remarks: list[RemarkSchema] = Field(default_factory=list)
    durationMs: int = Field(default=0, ge=0, description="milliseconds from startedAt to finishedAt, at least 1")
    attemptCount: int = Field(default=1, ge=1, description="attempts of the step so far, in all attempts of the run")
    exitCode: int | None = Field(default=None, description="exit code of the last attempt's process: an addition")


class DAGRunDetailsSchema(DAGRunSummarySchema):
    nodes: list[NodeSchema]
    onInit: NodeSchema | None = Field(default=None, description="an addition")
    onSuccess: NodeSchema | None = None
    onFailure: NodeSchema | None = None
    onCancel: NodeSchema | None = None
    onExit: NodeSchema | None = None
    onWait: NodeSchema | None = Field(default=None, description="an addition")
    preconditions: list[ConditionSchema]
    traceId: str = Field(default="", description="id of the trace of the run, in its spans and log lines")


class StartResponseSchema(Schema):
    dagRunId: str


class StartedResponseSchema(StartResponseSchema):
    finished: bool | None = Field(
        default=None,
        description="only with wait: whether the run has ended; false at once, and without dagRunDetails, if too many "
        "requests wait already",
    )
    dagRunDetails: DAGRunDetailsSchema | None = Field(default=None, description="only with wait: the run as it is now")


class StartSyncResponseSchema(Schema):
    dagRun: DAGRunDetailsSchema


class StartSyncTimeoutSchema(ErrorBodySchema):
    dagRunId: str = Field(default="", description="the run, which continues; absent if none was started")


class RescheduleResponseSchema(StartResponseSchema):
    queued: bool


class ListRunsResponseSchema(Schema):
    dagRuns: list[DAGRunSummarySchema]
    nextCursor: str | None = None
    searchedBackTo: str | None = Field(
        default=None,
        description="set if the search paused: older runs than this time were not looked at yet, nextCursor goes on",
    )


class RunResponseSchema(Schema):
    dagRunDetails: DAGRunDetailsSchema


class RunSpecResponseSchema(Schema):
    spec: str


class OutputsResponseSchema(Schema):
    metadata: dict[str, str]
    outputs: dict[str, str]


class SubRunDetailSchema(SubDAGRunSchema):
    status: int
    statusLabel: RunLabel
    startedAt: str
    finishedAt: str
    durationMs: int = Field(default=0, ge=0, description="milliseconds from startedAt to finishedAt, at least 1")


class ListSubRunsResponseSchema(Schema):
    subRuns: list[SubRunDetailSchema]


class LogSchema(Schema):
    content: str
    lineCount: int
    totalLines: int
    hasMore: bool
    isEstimate: bool


class LogHitsSchema(Schema):
    """Numbers of lines, from 1, that contain a text: an addition."""

    lines: list[int]
    nextLine: int = Field(description="the line from which a further request goes on; 0: the whole log was searched")
    totalLines: int


class CommandSchema(Schema):
    commandId: str
    type: str
    outcome: Literal["recorded", "refused", "failed"] = Field(
        description="failed: no scheduler could carry it out, and it is a dead letter, which an administrator can "
        "return to be tried again"
    )
    recordedAt: str
    result: dict[str, Any]
    error: ErrorBodySchema | None = None
