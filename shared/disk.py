"""Checks whether a folder can be written to."""

import time
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["DiskCheck"]

_PROBE = bytes(1024 * 1024)
"""What must fit on the disk: as much as the reports and rows of a busy moment."""
_VALID_S = 1.0
"""How long a result is reused, because anybody may call the readiness probe, as often as they like."""


class DiskCheck:
    """Checks a folder by writing a temporary file: the number of free bytes ignores quotas and read-only disks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            with TemporaryFile(dir=self._folder) as file:
                file.write(_PROBE)
                file.flush()
        except OSError as error:
            return f"the data folder cannot be written: {error.strerror or error}"
        return ""
