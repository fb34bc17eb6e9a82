"""Encodes and decodes envelopes. No other module knows the bytes of a message."""

import re
from datetime import datetime
from functools import cache
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, create_model
from pydantic_core import to_json

from shared.contracts import audit, commands, control, events, markers, tasks  # noqa: F401 - they register their messages
from shared.contracts.base import MESSAGE_TYPES, Message
from shared.errors import DecodeFailed

__all__ = ["VERSION", "Envelope", "decode", "decode_as", "encode", "type_of"]

VERSION = 1
_RAW = b"\0"
"""Ends the JSON of an envelope if bytes follow."""
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL, and the escaped backslashes before it."""
M = TypeVar("M", bound=Message)


class Envelope(BaseModel):
    """A message with its metadata. ``v`` is the version of the envelope; ``trace`` is a ``traceparent``."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int
    type: str
    id: str
    at: datetime
    trace: str | None = None
    request: str | None = None
    """The id of the HTTP request that caused the message, for logs; ``None`` if no request did."""
    body: SerializeAsAny[Message]


class _Peek(BaseModel):
    model_config = ConfigDict(extra="ignore")
    v: int
    type: str


@cache
def _envelope_of(cls: type[Message]) -> type[Envelope]:
    """Return the class of envelopes with this body. Made on first use: a service reads only some of all messages."""
    return create_model(f"{cls.__name__}Envelope", __base__=Envelope, body=(cls, ...))


def encode(
    message: Message,
    *,
    id: str,
    at: datetime,
    trace: str | None = None,
    request: str | None = None,
    raw: bool = False,
) -> bytes:
    """Return the JSON of an envelope with ``message`` as its body.

    ``raw``: the field that the message class names in ``raw_field`` is empty in the JSON, and its bytes follow after a
    zero byte. That takes a tenth of the time, and a quarter less space than base64.
    """
    head = {"v": VERSION, "type": message.type, "id": id, "at": at, "trace": trace, "request": request}
    tail = b""
    if raw and message.raw_field:
        tail = _RAW + getattr(message, message.raw_field)
        message = message.model_copy(update={message.raw_field: b""})
    # Joining the JSON of head and body is faster than to create an ``Envelope`` and dump it.
    return b'%b,"body":%b}%b' % (to_json(head)[:-1], message.model_dump_json().encode(), tail)


def decode(data: bytes) -> Envelope:
    """Return the envelope in ``data``, with its body as an instance of the message class.

    Its texts have no NUL: what programs print can contain one, and Postgres can store none in a text.

    Raises:
        DecodeFailed: ``data`` is not JSON, its type or version is unknown, or its body does not fit its type.
    """
    # JSON has no zero byte.
    data, has_raw, raw = data.partition(_RAW)
    if b"\\u0000" in data:
        data = _NUL.sub(rb"\1", data)
        if _NUL.search(data):
            raise DecodeFailed("not JSON: a NUL inside the escape of another")
    try:
        peek = _Peek.model_validate_json(data)
    except ValidationError as error:
        raise DecodeFailed(f"not an envelope: {_first(error)}") from error
    if peek.v != VERSION:
        raise DecodeFailed(
            f"the envelope has version {peek.v}, but this service reads only version {VERSION}: "
            "run services of the same release of Dagway"
        )
    cls = MESSAGE_TYPES.get(peek.type)
    if cls is None:
        raise DecodeFailed(f"unknown message type {peek.type!r}")
    try:
        envelope = _envelope_of(cls).model_validate_json(data)
    except ValidationError as error:
        raise DecodeFailed(f"{peek.type}: {_first(error)}") from error
    except Exception as error:
        # A check met what it did not foresee. No message may end the thread that reads it.
        raise DecodeFailed(f"{peek.type}: {type(error).__name__} in a check") from error
    if not has_raw:
        return envelope
    if not cls.raw_field:
        raise DecodeFailed(f"{peek.type}: bytes after the envelope, and no field for them")
    return envelope.model_copy(update={"body": envelope.body.model_copy(update={cls.raw_field: raw})})


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def type_of(data: bytes) -> str:
    """Return the message type that an envelope names. Raises ``DecodeFailed`` if ``data`` is not an envelope."""
    try:
        return _Peek.model_validate_json(data.partition(_RAW)[0]).type
    except ValidationError as error:
        raise DecodeFailed(f"not an envelope: {_first(error)}") from error


def decode_as(data: bytes, expected: type[M]) -> M:
    """Return the body of the envelope in ``data``, which must be an instance of ``expected``.

    Raises:
        DecodeFailed: ``decode`` fails, or the body is of another type.
    """
    body = decode(data).body
    if not isinstance(body, expected):
        raise DecodeFailed(f"expected a message of type {expected.type!r}, got {body.type!r}")
    return body
