"""Which runs have ended: kept in a file, because schedulers tell it only once, and not again after a restart."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from shared.private_files import private_file, replace_private_file

__all__ = ["EndedRuns"]

_log = logging.getLogger(__name__)
_SUCCEEDED, _FAILED, _BEGUN = "+", "-", "="
_LONG = 10_000
"""From this many outdated lines on, the file is rewritten."""


class EndedRuns:
    """Root runs that succeeded or failed, by their names in ``root_run_of``.

    ``after_s``: how long after a run succeeded its files may go. If the file cannot be written, what was heard is
    forgotten with the process. Not thread-safe.
    """

    def __init__(self, path: Path, after_s: float) -> None:
        self._path = path
        self._after_s = after_s
        self._lines = 0
        self.succeeded: dict[str, float] = {}
        """When the files of each may go (monotonic time). After a restart the time begins again."""
        self.failed: dict[str, None] = {}
        """In the order in which they failed."""
        with suppress(FileNotFoundError):
            # A process that was killed may have left the beginning of a line, which may be the name of another run.
            self._read(path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1])
            self._rewrite()

    def add(self, succeeded: Iterable[str], failed: Iterable[str]) -> None:
        """Note that these runs ended."""
        lines = [*(f"{_SUCCEEDED}{run}" for run in succeeded), *(f"{_FAILED}{run}" for run in failed)]
        self._read(lines)
        self._append(lines)

    def begun(self, run: str) -> None:
        """Note that a run goes on: if it had ended, it was retried, and schedulers will tell of its next end."""
        if run in self.succeeded or run in self.failed:
            self._read([line := f"{_BEGUN}{run}"])
            self._append([line])

    def drop(self, runs: Iterable[str]) -> None:
        """Forget runs without files. They may stay in the file for a while."""
        for run in runs:
            self.succeeded.pop(run, None)
            self.failed.pop(run, None)
        if self._lines - len(self.succeeded) - len(self.failed) > _LONG:
            self._rewrite()

    def _read(self, lines: Iterable[str]) -> None:
        due = time.monotonic() + self._after_s
        for line in lines:
            run = line[1:]
            self.succeeded.pop(run, None)
            self.failed.pop(run, None)
            if line.startswith(_SUCCEEDED):
                self.succeeded[run] = due
            elif line.startswith(_FAILED):
                self.failed[run] = None

    def _append(self, lines: list[str]) -> None:
        self._lines += len(lines)
        try:
            private_file(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            _log.warning("ended_runs.not_kept", extra={"path": str(self._path), "error": str(error)})

    def _rewrite(self) -> None:
        """Rewrite the file without outdated lines. If this fails, it stays as it is."""
        lines = list(self._said())
        try:
            replace_private_file(self._path, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            _log.warning("ended_runs.not_kept", extra={"path": str(self._path), "error": str(error)})
        self._lines = len(lines)

    def _said(self) -> Iterator[str]:
        yield from (f"{_SUCCEEDED}{run}" for run in self.succeeded)
        yield from (f"{_FAILED}{run}" for run in self.failed)
