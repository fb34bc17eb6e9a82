# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of the statistics of a DAG: additions to Dagu's API."""

from pydantic import Field

from services.api.response_schemas.base import Schema
from shared.status import RunLabel

__all__ = ["DurationsSchema", "EndedRunSchema", "FailureGroupSchema", "StatisticsSchema", "StepDurationsSchema"]


class EndedRunSchema(Schema):
    dagRunId: str
    statusLabel: RunLabel
    startedAt: str
    durationMs: int


class DurationsSchema(Schema):
    count: int = Field(description="how many successes the percentiles are of")
    p50Ms: int
    p95Ms: int


class StepDurationsSchema(DurationsSchema):
    name: str


class FailureGroupSchema(Schema):
    stepName: str = Field(description="the first step that failed; empty if the run itself failed")
    message: str
    count: int
    dagRunId: str = Field(description="the newest of these runs")
    at: str


class StatisticsSchema(Schema):
    runs: list[EndedRunSchema]
    duration: DurationsSchema | None = None
    steps: list[StepDurationsSchema]
    failures: list[FailureGroupSchema]
