"""The reserve: free space on a worker's disk that the output of steps may not use.

A step that prints without end would otherwise fill the disk that its worker's reports, and with ``dagway up`` the
database, need too.
"""

import os
from pathlib import Path

__all__ = ["DiskReserve"]

_PART = 16
_MOST_BYTES = 256 << 20


class DiskReserve:
    """The reserve of the disk with ``folder``, and of the disk of a log if that is another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, log: int) -> int:
        """Return the size in bytes of the reserve that is not free any more; 0 if all are. ``log``: a descriptor."""
        for place in (log, self._folder):
            found = os.statvfs(place)
            reserve = min(found.f_blocks * found.f_frsize // _PART, _MOST_BYTES)
            if found.f_bavail * found.f_frsize < reserve:
                return reserve
        return 0
