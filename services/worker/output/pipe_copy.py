"""Copy a pipe into files, where handing a step the file itself would not do.

A step normally writes straight into its log file. Two cases need a pipe in between: a stream of it goes
to several places, or it opens ``/dev/stdout`` by name, which on a regular file would cut the log.
"""

import os
import select
import threading
from collections.abc import Sequence

from services.worker.output.masking import Masker

__all__ = ["Pump"]

_SIZE = 65_536


class Pump:
    """One pipe and the thread that empties it. ``fd`` is the end to write to.

    ``copy``, if given, gets the same without what its masker hides.
    """

    def __init__(self, targets: Sequence[int], copy: tuple[int, Masker] | None = None) -> None:
        self._targets = targets
        self._copy = copy
        self._fault: OSError | None = None
        self._read, self.fd = os.pipe()
        self._stop_read, self._stop_write = os.pipe()
        os.set_blocking(self._read, False)
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copy what is in the pipe and stop, even if a process left in the background still holds it.

        Raises ``OSError`` where something could not be written (disk full).
        """
        os.close(self.fd)
        os.close(self._stop_write)
        self._thread.join()
        os.close(self._read)
        os.close(self._stop_read)
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        stopping = False
        while True:
            if not stopping:
                stopping = any(fd == self._stop_read for fd, _ in poll.poll())
            try:
                data = os.read(self._read, _SIZE)
            except BlockingIOError:
                if not stopping:
                    continue
                data = b""
            self._write(data)
            if not data:
                return

    def _write(self, data: bytes) -> None:
        """Write a piece everywhere, the rest with an empty one; after a fault nothing more, but the pipe is emptied."""
        if self._fault is not None:
            return
        try:
            for target in self._targets:
                write_all(target, data)
            if self._copy is not None:
                fd, masker = self._copy
                write_all(fd, masker.feed(data) if data else masker.close())
        except OSError as error:
            self._fault = error


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; raises ``OSError`` (disk full)."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
