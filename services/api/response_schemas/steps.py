# ruff: noqa: N815, D101, RUF012 - the fields are the JSON names, and say what they are
"""Schemas of steps as specs define them."""

from typing import Any

from services.api.response_schemas.base import Schema

__all__ = ["CommandEntrySchema", "ConditionSchema", "StepSchema"]


class ConditionSchema(Schema):
    condition: str
    expected: str = ""
    negate: bool = False
    error: str = ""


class CommandEntrySchema(Schema):
    command: str
    args: list[str] = []


class StepSchema(Schema):
    name: str
    id: str = ""
    description: str = ""
    dir: str = ""
    commands: list[CommandEntrySchema] = []
    script: str = ""
    output: str = ""
    call: str = ""
    params: str = ""
    parallel: dict[str, Any] = {}
    depends: list[str] = []
    repeatPolicy: dict[str, Any] = {}
    mailOnError: bool = False
    preconditions: list[ConditionSchema] = []
    timeoutSec: int = 0
    executorConfig: dict[str, Any]
