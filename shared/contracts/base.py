"""The base of every message body."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Message"]


class Message(BaseModel):
    """A frozen message body. ``type`` is its name on the wire and never changes."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")
    type: ClassVar[str]
