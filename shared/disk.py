"""Whether the disk below a folder takes what has to be written there."""

import time
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["DiskCheck"]

_LEAST = bytes(1024 * 1024)
"""So much must fit: a busy moment's reports and rows."""
_BELIEVED_S = 1.0
"""Probes are public and may come often."""


class DiskCheck:
    """Tries, since no figure tells of quotas and of disks that became read-only. Nothing is left behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lack = ""
        self._until = 0.0

    def problem(self) -> str:
        """Return why nothing can be written, at most a second old; empty: it can."""
        now = time.monotonic()
        if now >= self._until:
            self._lack, self._until = self._tried(), now + _BELIEVED_S
        return self._lack

    def _tried(self) -> str:
        try:
            with TemporaryFile(dir=self._folder) as file:
                file.write(_LEAST)
                file.flush()
        except OSError as error:
            return f"the data folder cannot be written: {error.strerror or error}"
        return ""
