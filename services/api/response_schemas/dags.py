# ruff: noqa: N815, D101, RUF012 - the fields are the JSON names, and say what they are
"""Schemas of DAGs, their specs, versions and search results."""

from typing import Any

from pydantic import Field

from services.api.response_schemas.base import Schema
from services.api.response_schemas.runs import DAGRunDetailsSchema, DAGRunSummarySchema
from services.api.response_schemas.steps import ConditionSchema, StepSchema

__all__ = [
    "CreateDAGResponseSchema",
    "DAGDetailsResponseSchema",
    "DAGDetailsSchema",
    "DAGFileSchema",
    "DAGSchema",
    "DiffResponseSchema",
    "ErrorsResponseSchema",
    "GridItemSchema",
    "HistoryResponseSchema",
    "ListDAGsResponseSchema",
    "LocalDagSchema",
    "MatchSchema",
    "PaginationSchema",
    "RestoreResponseSchema",
    "RunConfigSchema",
    "RunInDAGResponseSchema",
    "ScheduleSchema",
    "SearchResponseSchema",
    "SearchResultSchema",
    "SpecResponseSchema",
    "TagsResponseSchema",
    "ValidateResponseSchema",
    "VersionSchema",
    "VersionTextSchema",
    "VersionsResponseSchema",
]


class ScheduleSchema(Schema):
    expression: str


class RunConfigSchema(Schema):
    disableParamEdit: bool
    disableRunIdEdit: bool


class DAGSchema(Schema):
    name: str
    group: str = ""
    description: str = ""
    params: list[str] = []
    defaultParams: str = ""
    tags: list[str] = []
    schedule: list[ScheduleSchema] = []
    queue: str = ""
    maxActiveRuns: int = 0
    runConfig: RunConfigSchema | None = None


class DAGDetailsSchema(DAGSchema):
    delay: int = 0
    env: list[str] = []
    handlerOn: dict[str, StepSchema] = {}
    histRetentionDays: int = 0
    logDir: str = ""
    maxActiveSteps: int = 0
    preconditions: list[ConditionSchema] = []
    steps: list[StepSchema] = []
    paramSchema: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema of the parameters, if the spec or a file of the DAG folder contains it: an addition",
    )


class DAGFileSchema(Schema):
    fileName: str
    dag: DAGSchema
    latestDAGRun: DAGRunSummarySchema
    suspended: bool
    errors: list[str]
    nextRun: str = ""
    waitingFor: str = Field(default="", description="why the schedule starts no run at this moment")


class PaginationSchema(Schema):
    totalRecords: int
    currentPage: int
    totalPages: int
    nextPage: int | None
    prevPage: int | None


class ListDAGsResponseSchema(Schema):
    """``errors``: the files of the DAG folder that cannot be loaded, and why."""

    dags: list[DAGFileSchema]
    errors: list[str]
    pagination: PaginationSchema


class TagsResponseSchema(Schema):
    """``errors``: the DAGs with an invalid spec and the files of the DAG folder that cannot be loaded, and why."""

    tags: list[str]
    errors: list[str]


class ValidateResponseSchema(Schema):
    valid: bool
    errors: list[str]
    dag: DAGDetailsSchema | None = None
    nextFires: list[str] = Field(
        default=[], description="the next times at which the schedule of this spec would start a run: an addition"
    )


class CreateDAGResponseSchema(Schema):
    name: str


class LocalDagSchema(Schema):
    name: str
    dag: DAGDetailsSchema
    errors: list[str]


class DAGDetailsResponseSchema(Schema):
    dag: DAGDetailsSchema
    localDags: list[LocalDagSchema]
    latestDAGRun: DAGRunDetailsSchema
    suspended: bool
    errors: list[str]
    specHash: str = Field(default="", description="the ETag of getDAGSpec without its quotes: an addition")
    paused: bool = Field(default=False, description="whether the DAG itself is paused, see listPauses: an addition")
    nextRun: str = ""
    waitingFor: str = Field(default="", description="why the schedule starts no run at this moment: an addition")


class SpecResponseSchema(Schema):
    dag: DAGDetailsSchema
    spec: str
    errors: list[str]


class ErrorsResponseSchema(Schema):
    errors: list[str]


class GridItemSchema(Schema):
    name: str
    history: list[int]


class HistoryResponseSchema(Schema):
    dagRuns: list[DAGRunDetailsSchema]
    gridData: list[GridItemSchema]


class RunInDAGResponseSchema(Schema):
    dagRun: DAGRunDetailsSchema


class MatchSchema(Schema):
    line: str
    lineNumber: int
    startLine: int


class SearchResultSchema(Schema):
    name: str
    dag: DAGSchema
    matches: list[MatchSchema]


class SearchResponseSchema(Schema):
    results: list[SearchResultSchema]
    errors: list[str]


class VersionSchema(Schema):
    version: int
    hash: str
    createdAt: str
    createdBy: str


class VersionTextSchema(VersionSchema):
    spec: str


class VersionsResponseSchema(Schema):
    versions: list[VersionSchema]


class DiffResponseSchema(Schema):
    from_: int = Field(alias="from")
    to: int
    diff: str


class RestoreResponseSchema(Schema):
    errors: list[str]
    version: int
