# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of the settings of a gateway."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema

__all__ = ["SettingSchema", "SettingsSchema"]


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
