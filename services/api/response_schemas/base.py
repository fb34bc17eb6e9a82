# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Bases of the response schemas: the models behind the OpenAPI document.

``representations`` makes the JSON; tests check that it fits these schemas. Responses may have further fields, which
clients must ignore.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["ErrorBodySchema", "PendingSchema", "RemovedSchema", "Schema"]


class Schema(BaseModel):
    """Base of response schemas. Field names are the JSON names; a field with a default may be absent.

    In the OpenAPI document, a component has the name of its class without ``Schema``.
    """

    # ``defer_build``: only the OpenAPI document needs them, and nobody may ever ask for it.
    model_config = ConfigDict(
        extra="allow",
        model_title_generator=lambda model: model.__name__.removesuffix("Schema"),
        defer_build=True,
    )


class ErrorBodySchema(Schema):
    code: str
    message: str
    details: dict[str, Any] = {}


class PendingSchema(Schema):
    """The command is stored durably, its outcome not known yet; ``/commands/{commandId}`` returns the outcome later."""

    commandId: str


class RemovedSchema(Schema):
    """An empty object."""
