# ruff: noqa: N815, D101 - the fields are the JSON names, and say what they are
"""Schemas of dead letters: additions to Dagu's API."""

from typing import Literal

from pydantic import Field

from services.api.response_schemas.base import Schema

__all__ = ["DeadLetterOutcomeSchema", "DeadLetterOutcomesSchema", "DeadLetterSchema", "DeadLettersSchema"]


class DeadLetterSchema(Schema):
    id: str = Field(description="names the letter in requests; made of its queue, its message id and its body")
    messageId: str
    queue: str = Field(description="the broker queue that it came from")
    reason: str = Field(description="why it could not be handled")
    messageType: str = Field(description="empty if the body cannot be read")
    about: str = Field(description="DAG and run id, or the key of the run, if the body names one")
    size: int = Field(description="bytes of the body")
    firstSeenAt: str
    decision: Literal["", "return", "discard"] = Field(description="what is decided and not carried out yet")
    decidedBy: str
    failure: str = Field(description="why it could not be returned")


class DeadLettersSchema(Schema):
    deadLetters: list[DeadLetterSchema]
    more: bool = Field(description="whether there are more than these 500")


class DeadLetterOutcomeSchema(Schema):
    id: str
    outcome: Literal["done", "refused", "accepted"] = Field(
        description="done: the decision is recorded; accepted: it is stored durably, its outcome not known yet"
    )
    code: str = Field(default="", description="the error code of a refusal")
    message: str = ""


class DeadLetterOutcomesSchema(Schema):
    results: list[DeadLetterOutcomeSchema]
