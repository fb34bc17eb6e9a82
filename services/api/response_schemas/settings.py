# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of the settings of a gateway."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema

__all__ = [
    "ReportedSettingSchema",
    "ReportedSettingsSchema",
    "ReportedValueSchema",
    "SettingSchema",
    "SettingsSchema",
]


class SettingSchema(Schema):
    variable: str
    option: str
    value: str = Field(description="empty for a secret, whether it is set or not")
    default: str
    source: Literal["default", "option", "variable", "file", "dagu"]
    setBy: str = Field(description="the option, variable or setting of Dagu's that it comes from; empty for a default")
    secret: bool
    description: str


class SettingsSchema(Schema):
    settings: list[SettingSchema]


class ReportedValueSchema(Schema):
    value: str = Field(description="empty for a secret, whether it is set or not")
    setBy: str = Field(description="the option, variable or setting of Dagu's that it comes from; empty for a default")
    count: int = Field(description="how many processes have this value")
    processes: list[str] = Field(description="the first 20 of them")


class ReportedSettingSchema(Schema):
    variable: str
    description: str
    default: str
    secret: bool
    differs: bool = Field(description="whether processes have different values; of secrets: whether only some are set")
    values: list[ReportedValueSchema]


class ReportedSettingsSchema(Schema):
    processes: int = Field(description="how many live processes of this kind there are")
    silent: list[str] = Field(description="those of an earlier version, which do not report their settings")
    settings: list[ReportedSettingSchema]
