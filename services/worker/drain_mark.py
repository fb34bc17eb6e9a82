"""Whether an operator has drained this worker, kept over restarts."""

import logging
from pathlib import Path

from shared.private_files import private_file

__all__ = ["DrainMark"]

_log = logging.getLogger(__name__)


class DrainMark:
    """An empty file that exists while the worker is drained, so that it takes no new runs after a restart either.

    If the file cannot be written or removed, the order still holds until the process ends. After a restart a
    scheduler sends it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.drained = path.exists()

    def set(self, drained: bool) -> None:
        """Remember the order. Never raises."""
        self.drained = drained
        try:
            if drained:
                private_file(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("drain.not_kept", extra={"path": str(self._path), "error": str(error)})
