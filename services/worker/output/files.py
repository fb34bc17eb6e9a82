"""The output files of one attempt.

Attempt number n of a step writes ``<step>.<n>.out`` and ``<step>.<n>.err``, or one ``<step>.<n>.log`` if the DAG merges
stdout and stderr. The module ``inputs.workspace`` describes their folder.
"""

import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.inputs.workspace import run_folder
from services.worker.output.file_copy import FileCopy
from services.worker.output.holes import has_holes, read_data
from services.worker.output.masking import Masker
from services.worker.output.opened_by_name import texts_of, texts_open_by_name
from services.worker.output.pipe_copier import PipeCopier, write_all
from services.worker.output.step_files import open_for_step
from services.worker.process.step_users import StepUser
from shared.contracts.tasks import STEP, Task
from shared.language.model import Handler, LogOutput

__all__ = ["LogPaths", "OutputFiles", "log_paths"]

_log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_HANDLERS = frozenset(handler.value for handler in Handler)
_DIR_MODE = 0o750
_FILE_MODE = 0o640
"""The folder of the run's logs decides who of the group can reach them: nobody, or the user of the run's steps."""
_READ_BYTES = 1024 * 1024
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
"""Without waiting: a step may have put a pipe in the place of the file, from which nobody reads."""


@dataclass(frozen=True, slots=True)
class LogPaths:
    """The paths of one attempt's output. ``stderr`` is empty if both streams share the file ``stdout``.

    ``stdout_whole`` and ``stderr_whole`` are the files of the node's first attempt. They collect the output of all
    attempts of the node within one attempt of its run: each attempt's output is appended when the attempt ends.
    """

    stdout: str
    stderr: str
    run_log: str
    stdout_whole: str = ""
    stderr_whole: str = ""

    @property
    def merged(self) -> bool:
        return not self.stderr


def log_paths(logs: Path, task: Task) -> LogPaths:
    """Return the paths below ``logs``; creates nothing.

    Characters of a step's name that are unsafe in a file name become ``_``. Such a name, and that of a step which is
    called like a handler, ends with ``~`` and the step's number. No other name has a ``~``: nodes never share a file.
    """
    folder = f"{logs}/{run_folder(task)}"
    if task.run_attempt > 1:  # most runs have one: a folder costs a millisecond if many files were just deleted
        folder += f"/{task.run_attempt}"
    safe = _UNSAFE.sub("_", task.step.name)
    if safe != task.step.name or (task.kind == STEP and safe in _HANDLERS):
        safe = f"{safe}~{task.node}"
    stem, whole = f"{folder}/{safe}.{task.number}", f"{folder}/{safe}.1"
    run_log = f"{folder}/dag-run.log"
    if task.log_output == LogOutput.MERGED:
        return LogPaths(f"{stem}.log", "", run_log, f"{whole}.log")
    return LogPaths(f"{stem}.out", f"{stem}.err", run_log, f"{whole}.out", f"{whole}.err")


def _captured_path(paths: LogPaths) -> str:
    return f"{paths.stdout}.stdout"


def _masked(fd: int, masker: Masker) -> Iterator[bytes]:
    # No further: what the step left behind may print for ever.
    place, end = 0, os.fstat(fd).st_size
    while place < end:
        data, place = read_data(fd, min(_READ_BYTES, end - place), place)
        if not data:
            break
        yield masker.feed(data)
    yield masker.close()


class OutputFiles:
    """The open output files of one attempt.

    The step writes to the descriptors ``stdout`` and ``stderr``. The worker reads the logs from ``stdout_log`` and
    ``stderr_log``, and the value of ``output:`` from ``captured``, which holds stdout only. All files are opened for
    appending.
    """

    def __init__(self, paths: LogPaths, task: Task, make_folder: Callable[[], None] = lambda: None) -> None:
        """Open the files. ``make_folder`` is called if the run's folder does not exist.

        Raises what ``PipeCopier`` raises.
        """
        self.paths = paths
        self._kept = False
        self._fds: list[int] = []
        self._copiers: list[PipeCopier] = []
        self._copies: list[FileCopy] = []
        try:
            self.run_log = self._open(paths.run_log, make_folder=make_folder)
            self.stdout_log = self._open(paths.stdout)
            self.stderr_log = self._open(paths.stderr) if not paths.merged else None
            self.stdout = self.captured = self.stdout_log
            self.stderr = self.stdout_log if self.stderr_log is None else self.stderr_log
            if paths.merged and task.step.output is not None:
                self.captured = self._open(_captured_path(paths))
                # stderr too goes through a pipe: written directly to the file, it would overtake stdout in the log.
                self.stdout = self._pipe((self.stdout_log, self.captured))
                self.stderr = self._pipe((self.stdout_log,))
            elif texts_open_by_name(texts_of(task.step)):
                self.allow_opening_by_name()
        except BaseException:
            self.close()
            raise

    def allow_opening_by_name(self) -> None:
        """Give the step pipes, which are not truncated if it opens them by name. Call before anything is written."""
        if self._copiers:
            return
        self.stdout = self._pipe((self.stdout_log,))
        self.stderr = self.stdout if self.stderr_log is None else self._pipe((self.stderr_log,))

    def note(self, line: str) -> None:
        """Add a line to this worker's log of the run, ``$DAG_RUN_LOG_FILE``."""
        with suppress(OSError):
            os.write(self.run_log, f"{line}\n".encode(errors="replace"))

    def copy_separately(self, stdout: int | None, stderr: int | None, masker: Masker) -> None:
        """Copy stdout and stderr, which share a log, to one more file each, with secrets masked.

        ``stdout`` and ``stderr`` are descriptors of these files; ``None`` for no copy. Call before anything is written.
        """
        self.finish()
        captured = () if self.captured == self.stdout_log else (self.captured,)
        copies = [None if fd is None else (fd, masker.copy()) for fd in (stdout, stderr)]
        self.stdout = self._pipe((self.stdout_log, *captured), copies[0])
        self.stderr = self._pipe((self.stdout_log,), copies[1])

    def copied(self, log: int, target: int, masker: Masker) -> FileCopy:
        """Return the copy of the descriptor ``log`` to the descriptor ``target``. ``finish`` completes it."""
        self._copies.append(FileCopy(log, target, masker.copy()))
        return self._copies[-1]

    def finish(self) -> None:
        """Wait until everything that the step wrote is in the files. Raises ``OSError`` if a write failed."""
        errors: list[OSError] = []
        ends = [*(copier.close for copier in self._copiers), *(copy.finish for copy in self._copies)]
        self._copiers, self._copies = [], []
        for end in ends:
            try:
                end()
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def keep(self, masker: Masker) -> None:
        """Append the masked output to the ``…_whole`` files, where later steps read it. A second call does nothing.

        Disk errors are only logged, since the logs can still be shipped.
        """
        if self._kept:
            return
        self._kept = True
        # The log is complete even if a file that the step names for its output is not.
        for work in (self.finish, partial(self._keep, masker)):
            try:
                work()
            except OSError as error:
                _log.warning("attempt.log_not_kept", extra={"path": self.paths.stdout, "error": str(error)})

    def _keep(self, masker: Masker) -> None:
        paths = self.paths
        if self.captured != self.stdout_log:
            Path(_captured_path(paths)).unlink()
        for fd, path, whole in (
            (self.stdout_log, paths.stdout, paths.stdout_whole),
            (self.stderr_log, paths.stderr, paths.stderr_whole),
        ):
            if fd is None or (path == whole and not masker and not has_holes(fd)):
                continue
            target = Path(f"{path}~" if path == whole else whole)
            with os.fdopen(os.open(target, _APPEND, _FILE_MODE), "ab", 0) as file:
                size = os.fstat(file.fileno()).st_size
                try:
                    for data in _masked(fd, masker.copy()):
                        write_all(file.fileno(), data)
                except OSError:
                    file.truncate(size)  # a part of a copy would only take room on a full disk
                    raise
            if path == whole:
                target.replace(path)
            else:
                Path(path).unlink()

    def close(self) -> None:
        """Close every file."""
        try:
            self.finish()
        finally:
            while self._fds:
                os.close(self._fds.pop())

    def open_copy(
        self, path: Path, reach: Reach, user: StepUser | None, make_folder: Callable[[Path], None]
    ) -> int | None:
        """Open the file that a step names in ``stdout:`` or ``stderr:``. ``close`` closes it. Raises ``OSError``.

        If steps have a ``user`` of their own, the file must be one that this user may write to, or make.
        ``make_folder`` makes its missing parents then.

        Not a pipe: while nobody reads from it, it would hold up the thread that ships the logs of all steps. Returns
        ``None`` for a log of the step itself: it would be copied to its own end, again and again.
        """
        if user is None:
            fd = self._open(str(path), reach)
        else:
            fd = open_for_step(path, reach, user, make_folder)
            self._fds.append(fd)
        found = os.fstat(fd)
        if stat.S_ISFIFO(found.st_mode):
            raise OSError(errno.EINVAL, "the output of a step cannot go to a named pipe", str(path))
        if any(os.path.samestat(found, os.fstat(log)) for log in (self.stdout_log, self.stderr_log) if log is not None):
            return None
        return fd

    def _open(self, path: str, reach: Reach = EVERYTHING, *, make_folder: Callable[[], None] = lambda: None) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            fd = reach.open(path, flags, _FILE_MODE)
        except FileNotFoundError:
            make_folder()
            Path(path).parent.mkdir(_DIR_MODE, parents=True, exist_ok=True)
            fd = reach.open(path, flags, _FILE_MODE)
        self._fds.append(fd)
        return fd

    def _pipe(self, targets: Sequence[int], copy: tuple[int, Masker] | None = None) -> int:
        copier = PipeCopier(targets, copy)
        self._copiers.append(copier)
        return copier.fd
