"""The encoding of messages."""

import importlib
import pkgutil
from datetime import UTC, datetime

import pytest

from shared import contracts
from shared.contracts.base import MESSAGE_TYPES, Message
from shared.contracts.codec import _ENVELOPES, VERSION, Envelope, decode, encode
from shared.contracts.events import AttemptFinished, LogChunk

AT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
CHUNK = LogChunk(token="t", run_key="k", node=1, stream="stdout", seq=0, offset=0, data=b"\xff\0a", at=AT)
FINISHED = AttemptFinished(
    token="t",
    run_key="k",
    node=1,
    worker_id="w",
    incarnation="i",
    at=AT,
    started_at=AT,
    outcome="failed",
    error='"é\n',
    logs=(CHUNK,),
)


@pytest.mark.parametrize("message", [CHUNK, FINISHED], ids=lambda message: message.type)
def test_an_envelope_is_one_json_document_around_its_body(message: Message) -> None:
    wire = encode(message, id='i"d', at=AT, trace="00-a", request=None)
    envelope = Envelope(v=VERSION, type=message.type, id='i"d', at=AT, trace="00-a", body=message)

    assert decode(wire).body == message
    assert wire.decode() == envelope.model_dump_json()


def test_the_codec_knows_every_message() -> None:
    known = set(_ENVELOPES)

    for module in pkgutil.walk_packages(contracts.__path__, "shared.contracts."):
        importlib.import_module(module.name)

    assert known == set(MESSAGE_TYPES)


def test_no_two_messages_have_the_same_type() -> None:
    with pytest.raises(TypeError, match=r"Copy: LogChunk has the message type 'attempt\.log' too"):
        type("Copy", (Message,), {"type": LogChunk.type, "__module__": __name__})
