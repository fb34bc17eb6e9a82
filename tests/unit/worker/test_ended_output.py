"""What a step left behind prints on after its end: the log and its copies end all the same."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from services.worker.output.files import LogPaths, OutputFiles
from services.worker.output.log_shipper import AttemptLogs
from services.worker.output.log_stream import CHUNK_BYTES, LogStream
from services.worker.output.masking import Masker
from services.worker.output.send_window import SendWindow
from shared.contracts.codec import decode
from shared.contracts.events import LogChunk
from shared.transport.base import Outgoing, WorkerTransport
from tests.harness.worker_rig import command, task

_TASK = task(command("true"), token="t")
_LINE = b"x" * (CHUNK_BYTES - 1) + b"\n"


class _Prints:
    """A process that prints another chunk, with ``again`` in place of all before, whenever one is dealt with."""

    healthy = True
    one_program = True

    def __init__(self, log: int, *, again: bool = False) -> None:
        self.chunks: list[LogChunk] = []
        self._log = log
        self._again = again
        self._times = 0

    def print(self) -> None:
        self._times += 1
        assert self._times < 100, "it is read without end"
        if self._again:
            os.ftruncate(self._log, 0)
        os.write(self._log, _LINE[self._times % 2 :])

    def send(self, message: Outgoing) -> "Future[None]":
        body = decode(message.body).body
        assert isinstance(body, LogChunk)
        self.chunks.append(body)
        self.print()
        sent: Future[None] = Future()
        sent.set_result(None)
        return sent


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "s.1.out", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("again", [False, True], ids=["on and on", "again and again"])
def test_a_log_ends_where_it_was_when_the_step_ended(log: int, again: bool) -> None:
    printer = _Prints(log, again=again)
    transport = cast(WorkerTransport, printer)
    os.write(log, _LINE * 3)
    stream = LogStream(_TASK, "stdout", log, Masker(()))
    logs = AttemptLogs(
        (stream,), transport, SendWindow(), threading.Event(), lambda _: None, reserve=None, end=lambda: None
    )

    aboard = logs.finish()

    assert sum(len(chunk.data) for chunk in (*printer.chunks, *aboard)) <= len(_LINE) * 3
    assert again or b"".join(chunk.data for chunk in (*printer.chunks, *aboard)) == _LINE * 3


def test_the_copy_for_later_steps_ends_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (tmp_path / name for name in ("s.2.out", "s.2.err", "dag-run.log", "s.1.out", "s.1.err"))
    files = OutputFiles(LogPaths(*map(str, names)), _TASK)
    printer = _Prints(files.stdout_log)
    os.write(files.stdout_log, _LINE * 3)
    feed = Masker.feed

    def meanwhile(masker: Masker, data: bytes) -> bytes:
        printer.print()
        return feed(masker, data)

    monkeypatch.setattr(Masker, "feed", meanwhile)

    files.keep(Masker(()))

    assert (tmp_path / "s.1.out").read_bytes() == _LINE * 3
    files.close()
