"""One file of the spool: messages of an attempt, in the order in which they are to be sent, one on each line."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from services.worker.output.pipe_copier import write_all
from services.worker.reporting.report_size import that_fits
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished
from shared.errors import Unavailable
from shared.private_files import private_file
from shared.transport.base import EVENT_SHARDS, EVENTS, LOGS, MAX_MESSAGE_BYTES, BrokerQueue, Outgoing, WorkerTransport

__all__ = ["SpoolFile", "stored_messages"]

_BROKER_QUEUES: dict[str, BrokerQueue] = {each.name: each for each in (EVENTS, *EVENT_SHARDS, LOGS)}


class SpoolFile:
    """Messages on their way into the spool. Those that it does not have yet are taken from ``messages``, each once."""

    def __init__(self, path: Path, messages: Iterable[Outgoing]) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file: FileIO | None = None
        self._messages = iter(messages)
        self._held: Outgoing | None = None
        """Was taken, and is neither in the file nor sent."""

    def store(self) -> OSError | None:
        """Write all messages and sync the file. Return why the disk did not take them: then call it again later.

        Raises what ``messages`` raises.
        """
        while (message := self._next()) is not None:
            try:
                self._append(message)
            except OSError as error:
                return error
            self._held = None
        try:
            os.fsync(self._open().fileno())
            self._part.rename(self._path)
        except OSError as error:
            return error
        return None

    def send(self, transport: WorkerTransport) -> bool:
        """Send all messages, since the disk did not take them. Return whether the broker has confirmed all.

        Raises what ``messages`` raises, and ``OSError`` if what is in the file cannot be read.
        """
        try:
            if self._file is not None:
                self._file.seek(0)
                with os.fdopen(os.dup(self._file.fileno()), encoding="utf-8") as file:
                    for message in stored_messages(file):
                        transport.send(message).result()
            while (held := self._next()) is not None:
                transport.send(held).result()
                self._held = None
        except Unavailable:
            return False
        with suppress(OSError):
            self._part.unlink()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _next(self) -> Outgoing | None:
        if self._held is None:
            self._held = next(self._messages, None)
        return self._held

    def _open(self) -> FileIO:
        if self._file is None:
            private_file(self._part)
            self._file = self._part.open("w+b", buffering=0)
        return self._file

    def _append(self, message: Outgoing) -> None:
        """Append a message. If that fails, remove what was written of it and raise ``OSError``."""
        line = {"route": message.queue.name, "id": message.message_id, "body": message.body.decode()}
        fd = self._open().fileno()
        end = os.lseek(fd, 0, os.SEEK_END)
        try:
            write_all(fd, f"{json.dumps(line)}\n".encode())
        except OSError:
            os.ftruncate(fd, end)
            raise


def stored_messages(lines: Iterable[str]) -> Iterator[Outgoing]:
    """Yield the messages in the lines of a file. Raises anything if they are not of such a file."""
    for text in lines:
        line = json.loads(text)
        yield Outgoing(_BROKER_QUEUES[line["route"]], _that_fits(line["body"].encode()), line["id"])


def _that_fits(body: bytes) -> bytes:
    """Return a report, made to fit if it is too large: an earlier release spooled such reports."""
    if len(body) <= MAX_MESSAGE_BYTES:
        return body
    envelope = decode(body)
    if not isinstance(envelope.body, AttemptFinished):
        return body
    return encode(that_fits(envelope.body), id=envelope.id, at=envelope.at, trace=envelope.trace)
