# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of the overview: additions to Dagu's API."""

from pydantic import Field

from services.api.response_schemas.base import Schema
from services.api.response_schemas.runs import DAGRunSummarySchema
from shared.contracts.commands.pauses import PauseScope
from shared.status import RunLabel, WorkerState

__all__ = [
    "ApprovalSchema",
    "ApprovalsSchema",
    "FailedRunSchema",
    "NextFireSchema",
    "OverviewCountsSchema",
    "OverviewPauseSchema",
    "OverviewQueueSchema",
    "OverviewSchema",
    "OverviewWorkerSchema",
    "TimelineRunSchema",
    "TimelineSchema",
]


class OverviewCountsSchema(Schema):
    """Runs by what they do now, and runs that ended in the last 24 hours by result; DAGs and schedulers in all."""

    running: int
    queued: int
    approvals: int = Field(description="steps that wait for approval")
    failed: int
    succeeded: int
    aborted: int
    dags: int
    faultyDags: int = Field(description="DAGs whose spec has errors, so that they start no run")
    schedulers: int = Field(
        description="live schedulers; without one nothing starts or ends, and all workers look lost"
    )


class ApprovalSchema(Schema):
    """A step that waits for approval. ``name`` and ``dagRunId`` are the root run's, the others are of its own run."""

    name: str
    dagRunId: str
    subDAGRunId: str = ""
    dagName: str
    stepName: str
    since: str = ""
    params: str = ""


class ApprovalsSchema(Schema):
    approvals: list[ApprovalSchema]


class NextFireSchema(Schema):
    fileName: str
    at: str


class OverviewWorkerSchema(Schema):
    id: str
    live: bool
    state: WorkerState
    slots: int
    busy: int


class OverviewQueueSchema(Schema):
    name: str
    running: int
    queued: int
    maxConcurrency: int = Field(default=0, description="absent if each of its DAGs has a limit of its own")


class OverviewPauseSchema(Schema):
    scope: PauseScope
    name: str = ""
    reason: str = ""


class FailedRunSchema(DAGRunSummarySchema):
    failedStep: str = Field(default="", description="the step that made it fail, for the newest 10 of these runs")


class OverviewSchema(Schema):
    counts: OverviewCountsSchema
    running: list[DAGRunSummarySchema]
    queued: list[DAGRunSummarySchema]
    failed: list[FailedRunSchema]
    approvals: list[ApprovalSchema]
    nextFires: list[NextFireSchema]
    workers: list[OverviewWorkerSchema]
    queues: list[OverviewQueueSchema]
    pauses: list[OverviewPauseSchema]


class TimelineRunSchema(Schema):
    name: str
    dagRunId: str
    statusLabel: RunLabel
    startedAt: str
    finishedAt: str = ""


class TimelineSchema(Schema):
    since: str
    until: str
    runs: list[TimelineRunSchema]
    more: bool = Field(description="whether there are more runs than these, all of them older")
