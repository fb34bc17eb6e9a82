"""Copy a growing log to the file that a step names in ``stdout:`` or ``stderr:``, with secrets masked."""

import errno
import os
import threading

from services.worker.output.holes import read_data
from services.worker.output.masking import Masker
from services.worker.output.pipe_copier import copy_failed, write_all

__all__ = ["FileCopy"]

_READ_BYTES = 1024 * 1024
_MOST_AT_ONCE = 8 * _READ_BYTES
"""How much ``follow`` copies, so that a step that prints much does not hold up the logs of the others."""


class FileCopy:
    """The copy of one log. Thread-safe.

    It has a place of its own in the log. So it does not wait for the broker, and the log is complete if it fails.
    """

    def __init__(self, source: int, target: int, masker: Masker) -> None:
        self._source = source
        self._target = target
        self._masker = masker
        self._done = 0
        self._error: OSError | None = None
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Copy new output. If the file cannot be written, ``finish`` says so; nothing more is written to it then."""
        with self._lock:
            self._copy(_MOST_AT_ONCE)

    def finish(self) -> None:
        """Copy the rest of the output. Raises ``OSError`` if the file could not be written."""
        with self._lock:
            self._copy()
            self._write(self._masker.close())
        if self._error is not None:
            raise copy_failed(self._error)

    def cut(self) -> None:
        """Copy nothing more: the log loses its end, since the disk is nearly full. ``finish`` says so."""
        with self._lock:
            self._error = self._error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _copy(self, most: int | None = None) -> None:
        end = os.fstat(self._source).st_size
        if end < self._done:
            self._done = 0  # The step reopened its log, which truncated the file: new output begins at 0.
        if most is not None:
            end = min(end, self._done + most)
        while self._done < end:
            data, self._done = read_data(self._source, min(_READ_BYTES, end - self._done), self._done)
            if not data:
                break
            self._write(self._masker.feed(data))

    def _write(self, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            write_all(self._target, data)
        except OSError as error:
            self._error = error
