"""Base classes of messages, and the registry of message types."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["MESSAGE_TYPES", "Message", "Part"]


class Part(BaseModel):
    """A frozen record inside a message."""

    # ``defer_build``: a process uses only some of the messages, so the validator of each is built at its first use.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        allow_inf_nan=False,
        defer_build=True,
    )


class Message(Part):
    """A frozen message body.

    A subclass that sets ``type``, its name in envelopes, is registered in ``MESSAGE_TYPES``. A ``type`` never changes.

    Raises:
        TypeError: a subclass is defined whose ``type`` another subclass has.
    """

    type: ClassVar[str]
    raw_field: ClassVar[str] = ""
    """A field of bytes that can travel behind the JSON instead of in it; see ``codec.encode``."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "type" not in cls.__dict__:
            return
        if cls.type in MESSAGE_TYPES:
            raise TypeError(f"{cls.__name__}: {MESSAGE_TYPES[cls.type].__name__} has the message type {cls.type!r} too")
        MESSAGE_TYPES[cls.type] = cls


MESSAGE_TYPES: dict[str, type[Message]] = {}
"""Every message class by its ``type``."""
