# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of stored secrets: additions to Dagu's API. None has a field for a value."""

from pydantic import Field

from services.api.response_schemas.base import Schema

__all__ = ["RotatedSchema", "SecretSetSchema", "SecretsSchema", "StoredSecretSchema"]


class StoredSecretSchema(Schema):
    name: str
    version: int
    keyId: str = Field(description="the key that its value is sealed with")
    dags: list[str]
    createdAt: str
    updatedAt: str
    updatedBy: str


class SecretsSchema(Schema):
    secrets: list[StoredSecretSchema]
    keyId: str


class SecretSetSchema(Schema):
    name: str
    version: int


class RotatedSchema(Schema):
    rotated: int
    remaining: int
