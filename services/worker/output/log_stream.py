"""One growing log file of a step, cut into chunks with secrets masked."""

import os
from collections import deque
from concurrent.futures import Future

from services.worker.output.annotations import Annotations
from services.worker.output.disk_reserve import DiskReserve
from services.worker.output.file_copy import FileCopy
from services.worker.output.holes import bytes_on_disk, read_data
from services.worker.output.masking import Masker
from shared.clock import utc_now
from shared.contracts.events import LogChunk, Stream
from shared.contracts.tasks import Task

__all__ = ["CHUNK_BYTES", "LogStream"]

CHUNK_BYTES = 65_536


class LogStream:
    """Reads one growing log file and cuts it into chunks, with secrets masked.

    ``copy`` follows the same file, and ``annotations`` reads the masked bytes.
    """

    def __init__(
        self,
        task: Task,
        stream: Stream,
        fd: int,
        masker: Masker,
        *,
        copy: FileCopy | None = None,
        annotations: Annotations | None = None,
    ) -> None:
        self.annotations = annotations
        self.window: deque[tuple[LogChunk, Future[None] | None]] = deque()
        """Unconfirmed chunks, oldest first. A chunk whose future is ``None`` must be sent again."""
        self._task = task
        self._stream = stream
        self._fd = fd
        self._masker = masker
        self._copy = copy
        self._read_to = 0
        self._left: int | None = None
        """How many bytes are still to be read; ``None`` while the step may write."""
        self._ready = b""
        self._flushed = False
        self._seq = 0
        self._offset = 0
        self._cut = self._ends_cut = False
        self._elsewhere = bool(task.log_dir)
        self._told = 0

    @property
    def size(self) -> tuple[str, int]:
        """The name of the stream, and how many bytes of it are in chunks so far."""
        return self._stream, self._offset

    def missing(self, reserve: DiskReserve) -> int:
        """Tell ``reserve`` by how much the log has grown, and return what it says about the disk of this log."""
        if not self._elsewhere:
            size = self.bytes_on_disk()
            reserve.grew(size - self._told)
            self._told = size
        return reserve.missing(self._fd, elsewhere=self._elsewhere)

    def bytes_on_disk(self) -> int:
        """Return how much room the log takes."""
        return bytes_on_disk(self._fd)

    def cut(self, line: bytes) -> None:
        """Read one more chunk, then nothing, and free the room of the rest. If there is any, ``line`` ends the log.

        Call it again as long as the step may write: that is not kept either.
        """
        if not self._cut:
            self._read()  # else nothing would be left of a log that has filled the disk at once
            self._cut = True
        if self._copy is not None:
            self._copy.cut()
        if os.fstat(self._fd).st_size > self._read_to:
            os.ftruncate(self._fd, self._read_to)
            if not self._ends_cut:
                self._ends_cut = True
                self._ready += line

    def end(self) -> None:
        """Read no further than the log reaches now. What the step left behind may print for ever."""
        self._left = self._unread()

    def unsent_bytes(self) -> int:
        """Return how many bytes are not in a chunk yet. Unread ones count before masking, and with holes."""
        if self._cut:
            return len(self._ready)
        return (self._unread() if self._left is None else self._left) + self._masker.held + len(self._ready)

    def _unread(self) -> int:
        size = os.fstat(self._fd).st_size
        # If the step reopened its log, the file was truncated and is read from 0 again.
        return size - self._read_to if size >= self._read_to else size

    def next_chunk(self, *, final: bool = False) -> LogChunk | None:
        """Read on and return the next chunk, or ``None`` if there is nothing to send now.

        ``final``: the step has ended, so also return the bytes that were held back because they may begin a secret.
        """
        if self._copy is not None:
            self._copy.follow()
        while len(self._ready) < CHUNK_BYTES and not self._cut:
            if self._read():
                continue
            if self._read_to and os.fstat(self._fd).st_size < self._read_to:
                # The step reopened its log, which truncated the file: new output begins at 0.
                self._read_to = 0
                continue
            if final and not self._flushed:
                self._flushed = True
                self._add(self._masker.close())
            break
        if not self._ready:
            return None
        data, self._ready = self._ready[:CHUNK_BYTES], self._ready[CHUNK_BYTES:]
        chunk = LogChunk(
            token=self._task.token,
            run_key=self._task.run_key,
            node=self._task.node,
            run_attempt=self._task.run_attempt,
            number=self._task.number,
            stream=self._stream,
            seq=self._seq,
            offset=self._offset,
            data=data,
            at=utc_now(),
        )
        self._seq += 1
        self._offset += len(data)
        return chunk

    def _read(self) -> bool:
        """Read on in the file, and return whether there was anything."""
        before = self._read_to
        size = CHUNK_BYTES if self._left is None else min(CHUNK_BYTES, self._left)
        data, self._read_to = read_data(self._fd, size, before)
        if self._left is not None:
            self._left = max(self._left - (self._read_to - before), 0)
        if data:
            self._add(self._masker.feed(data))
        return bool(data)

    def _add(self, masked: bytes) -> None:
        if masked and self.annotations is not None:
            self.annotations.feed(masked)
        self._ready += masked

    def settle(self) -> bool:
        """Drop confirmed chunks from the window and mark refused chunks; return ``True`` if no chunk was refused."""
        kept = deque((chunk, future) for chunk, future in self.window if not _confirmed(future))
        self.window = deque((chunk, None if future and future.done() else future) for chunk, future in kept)
        return all(future is not None for _, future in self.window)


def _confirmed(future: "Future[None] | None") -> bool:
    return future is not None and future.done() and not future.cancelled() and future.exception() is None
