"""Envelope <-> bytes. The only place that knows how a message looks on the wire."""

from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, create_model
from pydantic_core import to_json

from shared.contracts import commands, control, events, tasks
from shared.contracts.base import Message
from shared.contracts.commands import accounts, approvals, dags, queues, runs, webhooks
from shared.errors import DecodeFailed

__all__ = ["VERSION", "Envelope", "decode", "decode_as", "encode"]

VERSION = 1
M = TypeVar("M", bound=Message)

_TYPES: dict[str, type[Message]] = {
    cls.type: cls
    for cls in (
        commands.CreateDag,
        commands.PutSpec,
        commands.DeleteDag,
        commands.RenameDag,
        commands.SuspendDag,
        commands.StartRun,
        commands.EnqueueRun,
        commands.StopRun,
        commands.DequeueRun,
        commands.RetryRun,
        commands.PatchStep,
        commands.CommandReply,
        runs.StartInline,
        runs.RescheduleRun,
        runs.PatchSubStep,
        approvals.ApproveStep,
        approvals.RejectStep,
        dags.ReplaceSpec,
        dags.RestoreSpec,
        queues.SetQueue,
        queues.RemoveQueue,
        queues.SetPool,
        queues.RemovePool,
        queues.Pause,
        queues.Resume,
        accounts.CreateUser,
        accounts.EnsureAdmin,
        accounts.UpdateUser,
        accounts.SetPassword,
        accounts.DeleteUser,
        accounts.CreateApiKey,
        accounts.UpdateApiKey,
        accounts.DeleteApiKey,
        accounts.TouchCredential,
        webhooks.CreateWebhook,
        webhooks.RegenerateWebhook,
        webhooks.ToggleWebhook,
        webhooks.DeleteWebhook,
        tasks.Task,
        events.LogChunk,
        events.AttemptStarted,
        events.AttemptFinished,
        events.AttemptGivenUp,
        events.AttemptProgress,
        events.TaskRedelivered,
        events.Heartbeat,
        control.StopAttempt,
        control.RouteOpened,
        control.RunsChanged,
        control.RunTraced,
    )
}


class Envelope(BaseModel):
    """``{v, type, id, at, trace, request, body}``; ``body`` is the typed message of ``type``."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int
    type: str
    id: str
    at: datetime
    trace: str | None = None
    request: str | None = None
    """The id of the HTTP request that asked for it, where one did: for the logs."""
    body: SerializeAsAny[Message]


class _Peek(BaseModel):
    model_config = ConfigDict(extra="ignore")
    v: int
    type: str


_ENVELOPES: dict[str, type[Envelope]] = {
    name: create_model(f"{cls.__name__}Envelope", __base__=Envelope, body=(cls, ...)) for name, cls in _TYPES.items()
}


def encode(message: Message, *, id: str, at: datetime, trace: str | None = None, request: str | None = None) -> bytes:
    """Return the wire form of ``message``; its type must be one of the contract's."""
    head = {"v": VERSION, "type": message.type, "id": id, "at": at, "trace": trace, "request": request}
    # Making an envelope's model around it takes longer than writing both.
    return b'%b,"body":%b}' % (to_json(head)[:-1], message.model_dump_json().encode())


def decode(data: bytes) -> Envelope:
    """Return the envelope with its typed body.

    Raises:
        DecodeFailed: not JSON, an unknown type or version, or a body that does not fit its type.
    """
    try:
        peek = _Peek.model_validate_json(data)
    except ValidationError as error:
        raise DecodeFailed(f"not an envelope: {_first(error)}") from error
    if peek.v != VERSION:
        raise DecodeFailed(f"envelope version {peek.v} is not understood, only {VERSION}")
    cls = _ENVELOPES.get(peek.type)
    if cls is None:
        raise DecodeFailed(f"unknown message type {peek.type!r}")
    try:
        return cls.model_validate_json(data)
    except ValidationError as error:
        raise DecodeFailed(f"{peek.type}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def decode_as(data: bytes, expected: type[M]) -> M:
    """Return the typed body, which must be an ``expected``.

    Raises:
        DecodeFailed: as ``decode``, or another type.
    """
    body = decode(data).body
    if not isinstance(body, expected):
        raise DecodeFailed(f"expected {expected.type}, got {body.type}")
    return body
