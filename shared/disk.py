"""How much room a folder has, and whether it can be written to."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["DiskCheck", "Volume", "cure_of"]

_PROBE = bytes(1024 * 1024)
"""What must fit on the disk: as much as the reports and rows of a busy moment."""
_FILES = 32
"""How many files a process must be able to open: more than a few steps need that begin until the next look."""
_VALID_S = 1.0
"""How long a result is reused, because anybody may call the readiness probe, as often as they like."""
_FREE = "free disk space"
_CURES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EMFILE: "raise the limit of open files, or look for what holds them",
    errno.ENFILE: "raise the machine's limit of open files, or look for what holds them",
}


class DiskCheck:
    """Checks a folder by writing a temporary file: the number of free bytes ignores quotas and read-only disks.

    The process must be able to open a few files more: a worker that can open only one would fail every step.

    ``cure``: what to do about the last problem.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cure = ""
        self._problem = ""
        self._until = 0.0

    def problem(self) -> str:
        """Return why the folder cannot be written to; empty if it can. The result is at most a second old."""
        now = time.monotonic()
        if now >= self._until:
            self._problem, self._until = self._try_to_write(), now + _VALID_S
        return self._problem

    def _try_to_write(self) -> str:
        try:
            with TemporaryFile(dir=self._folder) as file, ExitStack() as opened:
                file.write(_PROBE)
                file.flush()
                for _ in range(_FILES):
                    opened.callback(os.close, os.dup(file.fileno()))
        except OSError as error:
            self.cure = cure_of(error)
            return f"the data folder cannot be written: {error.strerror or error}"
        return ""


def cure_of(error: OSError) -> str:
    """Return what to do about a data folder that cannot be written to."""
    return _CURES.get(error.errno or 0, "make the data folder writable")


class Volume:
    """The volume with a folder, which need not exist yet.

    With ``limit`` bytes it may be smaller than its file system: Kubernetes evicts a pod whose emptyDir has outgrown its
    ``sizeLimit``, though the node's disk has room. ``used`` then returns how many bytes are taken.
    """

    def __init__(self, folder: Path, limit: int = 0, used: Callable[[], int] = lambda: 0) -> None:
        self._folder, self._limit, self._used = folder, limit, used

    def room(self) -> tuple[int, int]:
        """Return the size and what is free for this process, in bytes."""
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        found = shutil.disk_usage(folder)
        if not self._limit:
            return found.total, found.free
        return min(found.total, self._limit), min(found.free, max(self._limit - self._used(), 0))
