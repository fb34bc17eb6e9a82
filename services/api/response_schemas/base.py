# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Bases of the response schemas: the models behind the OpenAPI document.

The JSON itself is made in ``representations``; tests hold the two together. Responses may have further fields:
clients ignore fields that they do not know.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["ErrorBodySchema", "PendingSchema", "Schema"]


class Schema(BaseModel):
    """Base of response schemas. Field names are the JSON names; a field with a default may be left out.

    The components of the OpenAPI document have the classes' names without ``Schema``.
    """

    model_config = ConfigDict(extra="allow", model_title_generator=lambda model: model.__name__.removesuffix("Schema"))


class ErrorBodySchema(Schema):
    code: str
    message: str
    details: dict[str, Any] = {}


class PendingSchema(Schema):
    """The command is stored durably. ``/commands/{commandId}`` has its outcome once there is one."""

    commandId: str
