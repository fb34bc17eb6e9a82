"""The encoding of messages."""

import json
import pkgutil
import subprocess
import sys
from datetime import UTC, datetime
from typing import Annotated

import pytest
from pydantic import AfterValidator

from shared import contracts
from shared.contracts.base import MESSAGE_TYPES, Message
from shared.contracts.codec import VERSION, Envelope, decode, encode, type_of
from shared.contracts.events import AttemptFinished, LogChunk
from shared.contracts.tasks import Task
from shared.errors import DecodeFailed
from shared.language.model import Step

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


def test_bytes_may_follow_the_json_of_an_envelope() -> None:
    wire = encode(CHUNK, id="i", at=AT, raw=True)
    head, _, tail = wire.partition(b"\0")

    assert tail == CHUNK.data
    assert json.loads(head)["body"]["data"] == ""
    assert decode(wire).body == CHUNK
    assert type_of(wire) == CHUNK.type
    assert decode(encode(FINISHED, id="i", at=AT, raw=True)).body == FINISHED


def test_a_check_that_fails_makes_a_message_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Checked(Message):
        number: Annotated[int, AfterValidator(float)]

    monkeypatch.setitem(MESSAGE_TYPES, LogChunk.type, Checked)
    body = {"v": VERSION, "type": LogChunk.type, "id": "i", "at": AT.isoformat(), "body": {"number": 10**400}}

    with pytest.raises(DecodeFailed, match="OverflowError"):
        decode(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("error", "read"),
    [
        ("a\0\0b\0", "ab"),
        ("a\\\0b", "a\\b"),
        (r"a\u0000b", r"a\u0000b"),
        (r"a\\u0000b", r"a\\u0000b"),
        ('"\0"', '""'),
    ],
)
def test_the_texts_of_a_message_have_no_nul(error: str, read: str) -> None:
    message = FINISHED.model_copy(update={"error": error})

    assert decode(encode(message, id="i", at=AT)).body == message.model_copy(update={"error": read})


def test_bytes_after_a_message_that_has_no_field_for_them_are_refused() -> None:
    with pytest.raises(DecodeFailed, match=r"attempt\.finished: bytes after the envelope"):
        decode(encode(FINISHED, id="i", at=AT) + b"\0more")


_LATE = """
import importlib, sys
from shared.contracts.codec import MESSAGE_TYPES
known = set(MESSAGE_TYPES)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(known) > 0, sorted(set(MESSAGE_TYPES) - known))
"""


def test_the_codec_knows_every_message() -> None:
    """Importing it imports every module of messages. Only a new process can tell."""
    names = [module.name for module in pkgutil.walk_packages(contracts.__path__, "shared.contracts.")]

    said = subprocess.run([sys.executable, "-c", _LATE, *names], capture_output=True, text=True, check=True).stdout

    assert said == "True []\n"


def test_every_message_is_read_in_an_envelope() -> None:
    for name in MESSAGE_TYPES:
        wire = json.dumps({"v": VERSION, "type": name, "id": "i", "at": AT.isoformat(), "body": "no object"})
        with pytest.raises(DecodeFailed, match=f"{name}: body: Input should be an object"):
            decode(wire.encode())


def test_no_two_messages_have_the_same_type() -> None:
    with pytest.raises(TypeError, match=r"Copy: LogChunk has the message type 'attempt\.log' too"):
        type("Copy", (Message,), {"type": LogChunk.type, "__module__": __name__})


def test_a_task_is_read_by_workers_of_the_version_before_and_of_the_next_one() -> None:
    """The previous version refuses fields of a step that it does not know."""
    step = Step(name="s")
    task = Task(
        token="t", run_key="k", node=1, dag_name="d", dag_run_id="r", root_dag_name="d", root_dag_run_id="r", step=step
    )

    wire = encode(task, id="i", at=AT)
    later = json.loads(wire)
    later["body"]["step"]["unheard_of"] = 1

    assert "secrets" not in json.loads(wire)["body"]["step"]
    assert Step(name="s", secrets=()).model_dump(mode="json")["secrets"] == []
    assert decode(json.dumps(later).encode()).body == task
