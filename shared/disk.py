"""Checks whether a folder can be written to."""

import time
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["DiskCheck"]

_PROBE = bytes(1024 * 1024)
"""So much must fit: the reports and rows of a busy moment."""
_VALID_S = 1.0
"""How long an answer is used again: probes are public and may come often."""


class DiskCheck:
    """Writes a temporary file: free bytes say nothing of quotas and of disks that became read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._problem = ""
        self._until = 0.0

    def problem(self) -> str:
        """Return why the folder cannot be written to, at most a second old; empty if it can."""
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
