"""Copy a pipe into files.

A step normally writes directly to its log file. A pipe is needed in two cases: a stream goes to several files, or the
step opens ``/dev/stdout`` by name, which would truncate a regular file (see ``opened_by_name``).
"""

import os
import select
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from services.worker.output.masking import Masker

__all__ = ["PipeCopier", "copy_failed", "write_all"]

_SIZE = 65_536
"""Bytes, as many as Linux keeps in a pipe."""


class PipeCopier:
    """A pipe and a thread that copies everything written to it. Write to the descriptor ``fd``.

    The bytes go to each descriptor in ``targets`` unchanged. If ``copy`` is a (descriptor, masker) pair, they also go
    to that descriptor, with secrets masked by that masker.

    Raises ``OSError`` if this process has too many open files, and ``RuntimeError`` if the system has no thread left.
    """

    def __init__(self, targets: Sequence[int], copy: tuple[int, Masker] | None = None) -> None:
        self._targets = targets
        self._copy = copy
        self._error: OSError | None = None
        self._copy_error: OSError | None = None
        self._copied = threading.Event()
        with ExitStack() as opened:
            self._read, self.fd = _pipe(opened)
            self._stop_read, self._stop_write = _pipe(opened)
            os.set_blocking(self._read, False)
            threading.Thread(target=self._run, name="pipe-copier", daemon=True).start()
            opened.pop_all()

    def close(self) -> None:
        """Copy the rest of the pipe's contents and stop, even if a background process still has the pipe open.

        What such a process writes later is read and dropped: without a reader, it would be killed by a signal.
        Raises ``OSError`` if a write failed (disk full, for instance).
        """
        os.close(self.fd)
        os.close(self._stop_write)
        self._copied.wait()
        if self._error is not None:
            raise self._error
        if self._copy_error is not None:
            raise copy_failed(self._copy_error)

    def _run(self) -> None:
        try:
            self._copy_all()
        finally:
            self._copied.set()
            os.close(self._stop_read)
        os.set_blocking(self._read, True)
        with os.fdopen(self._read, "rb", buffering=0) as rest:
            while rest.read(_SIZE):
                pass

    def _copy_all(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        stopping, left = False, _SIZE
        while True:
            if not stopping:
                stopping = any(fd == self._stop_read for fd, _ in poll.poll())
            try:
                data = os.read(self._read, left)
            except BlockingIOError:
                if not stopping:
                    continue
                data = b""
            if stopping:
                left -= len(data)  # What a process in the background goes on to write is left out.
            self._write(data)
            if not data:
                return

    def _write(self, data: bytes) -> None:
        """Write ``data`` to every target and to the copy. Empty ``data`` ends the masked copy.

        After an error of the targets, or of the copy, nothing more is written to those.
        """
        if self._error is None:
            try:
                for target in self._targets:
                    write_all(target, data)
            except OSError as error:
                self._error = error
        if self._copy is not None and self._copy_error is None:
            fd, masker = self._copy
            try:
                write_all(fd, masker.feed(data) if data else masker.close())
            except OSError as error:
                self._copy_error = error


def _pipe(opened: ExitStack) -> tuple[int, int]:
    """Return the two ends of a new pipe, which ``opened`` closes."""
    ends = os.pipe()
    for end in ends:
        opened.callback(os.close, end)
    return ends


def copy_failed(error: OSError) -> OSError:
    """Return the error that tells a person that the file in ``stdout:`` or ``stderr:`` of a step is not complete."""
    return OSError(f"the file that the step names for its output cannot be written: {error.strerror}")


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a descriptor. Raises ``OSError`` if a write fails (disk full, for instance)."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
