"""The reserve: free space on a worker's disk that the output of steps may not use.

A step that prints without end would otherwise fill the disk that its worker's reports, and with ``dagway up`` the
database, need too. In Kubernetes its pod would be evicted, with all its steps.
"""

import os
from pathlib import Path

from services.worker.run_files import RunFiles

__all__ = ["DiskReserve"]

_PART = 16
_MOST_BYTES = 256 << 20


class DiskReserve:
    """The reserve of the disk with ``folder``, and of the disk of a log if that is another.

    With ``limit`` bytes, there is also one of what the folder, with its ``files``, may take of its disk.
    """

    def __init__(self, folder: Path, limit: int, files: RunFiles) -> None:
        self._folder = folder
        self._limit = limit
        self._files = files

    def begin(self) -> None:
        """Measure what the folder takes already: steps may print before the files are looked at for the first time."""
        if self._limit:
            self._files.look()

    def grew(self, size: int) -> None:
        """Note that a log in the folder takes so many bytes more, or fewer."""
        if size:
            self._files.grew(size)

    def missing(self, log: int, *, elsewhere: bool) -> int:
        """Return the size in bytes of the reserve that is not free any more; 0 if all are. ``log``: a descriptor.

        ``elsewhere``: the log is not in the folder.
        """
        for place in (log, self._folder):
            try:
                found = os.statvfs(place)
            except OSError:
                continue  # somebody has taken the folder away, which is no reason to end a step
            reserve = _reserve(found.f_blocks * found.f_frsize)
            if found.f_bavail * found.f_frsize < reserve:
                return reserve
        if self._limit and not elsewhere and self._limit - self._files.used_bytes < _reserve(self._limit):
            return _reserve(self._limit)
        return 0


def _reserve(size: int) -> int:
    return min(size // _PART, _MOST_BYTES)
