"""Where a run's files lie on this worker, and the output files of one attempt.

A run's steps share the folder of their dag's file, as Dagu's do, where this worker has the dags; else
``<data>/runs/<dag>/<run id>``, a directory of the run's own. Logs are at
``<logs>/<dag>/<run id>/<run attempt>/<step>.<n>.out|.err``, or one ``.log`` when merged. For
a sub run, ``<run id>`` is ``<root dag>~<root run id>~<run id>``.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.worker.inputs.environment import host_variables
from services.worker.output.masking import Masker
from services.worker.output.pipe_copy import Pump
from shared.contracts.tasks import Task
from shared.language.expansion.expand import Scope, expand, needs_shell
from shared.language.model import LogOutput

__all__ = ["LogPaths", "OutputFiles", "Places", "log_paths"]

_log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_UNSAFE_FOLDER = re.compile(r"[^A-Za-z0-9_.-]")
_OPENED_BY_NAME = re.compile(r"/dev/std(?:out|err)|/dev/fd/[12]|/proc/self/fd")
_DIR_MODE = 0o750
_FILE_MODE = 0o640
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogPaths:
    """``stderr`` is empty when both streams share one file.

    The ``…_whole`` ones are where all tries of the node within an attempt of its run follow each other, once
    they are over: the files of the first.
    """

    stdout: str
    stderr: str
    run_log: str
    stdout_whole: str = ""
    stderr_whole: str = ""

    @property
    def merged(self) -> bool:
        return not self.stderr


@dataclass(frozen=True, slots=True)
class Places:
    """``data_dir`` is this worker's own; ``dags_dir`` is where it has the dags' files, if anywhere."""

    data_dir: Path
    dags_dir: Path | None = None

    def run_dir(self, task: Task) -> Path:
        """Return the directory of the task's run, which need not exist yet."""
        return _run_dir(self.data_dir, _place(task))

    def dag_folder(self, task: Task) -> Path:
        """Return where the run works unless its dag says otherwise.

        Source: workflow language, section 2.2, ``workingDir``.
        """
        if self.dags_dir is None or not task.file_name:
            return self.run_dir(task)
        return (self.dags_dir / task.file_name).parent

    def log_folder(self, task: Task) -> Path:
        """Return where the logs of the task's run lie: in the dag's ``logDir``, else, or if that cannot be, in ours.

        Nothing of the user's may run yet: a ``logDir`` with a command in it is passed over.
        """
        if task.log_dir and not needs_shell(task.log_dir):
            try:
                text = expand(task.log_dir, Scope((dict(task.env), host_variables())))
                folder = Path(os.path.normpath(self.dag_folder(task) / Path(text).expanduser()))
                folder.mkdir(_DIR_MODE, parents=True, exist_ok=True)
            except (OSError, ValueError, RuntimeError) as error:
                _log.warning("log_dir.unusable", extra={"token": task.token, "error": str(error)})
            else:
                if text and os.access(folder, os.W_OK | os.X_OK):
                    return folder
        return self.data_dir / "logs"


@lru_cache(1_000)
def _run_dir(data_dir: Path, place: str) -> Path:
    # All steps of a run ask for it, and a path is slow to make and to turn into text.
    return data_dir / "runs" / place


def log_paths(logs: Path, task: Task) -> LogPaths:
    """Name the files below ``logs``; nothing is created. Two names that look alike when made safe stay apart."""
    folder = f"{logs}/{_place(task)}/{task.run_attempt}"
    safe = _UNSAFE.sub("_", task.step.name)
    if safe != task.step.name:
        safe = f"{safe}-{task.node}"
    stem, whole = f"{folder}/{safe}.{task.number}", f"{folder}/{safe}.1"
    run_log = f"{folder}/dag-run.log"
    if task.log_output == LogOutput.MERGED:
        return LogPaths(f"{stem}.log", "", run_log, f"{whole}.log")
    return LogPaths(f"{stem}.out", f"{stem}.err", run_log, f"{whole}.out", f"{whole}.err")


def _place(task: Task) -> str:
    """Return a run's folder below its kind's. A sub run's id is its own only below its root: the root is named too."""
    names = [task.dag_run_id]
    if (task.root_dag_name, task.root_dag_run_id) != (task.dag_name, task.dag_run_id):
        names = [task.root_dag_name, task.root_dag_run_id, task.dag_run_id]
    return f"{_folder(task.dag_name)}/{'~'.join(map(_folder, names))}"


def _folder(name: str) -> str:
    safe = _UNSAFE_FOLDER.sub("_", name)
    return safe if safe.strip(".") else "_"


def _captured_path(paths: LogPaths) -> str:
    return f"{paths.stdout}.stdout"


def _masked(fd: int, masker: Masker) -> Iterator[bytes]:
    place = 0
    while data := os.pread(fd, _READ_BYTES, place):
        place += len(data)
        yield masker.feed(data)
    yield masker.close()


class OutputFiles:
    """The open output files of one attempt.

    ``stdout`` and ``stderr`` are what a step writes to; ``stdout_log``, ``stderr_log`` and
    ``captured`` are what is read back: the logs, and stdout alone. Files are opened for appending.
    """

    def __init__(self, paths: LogPaths, task: Task) -> None:
        self.paths = paths
        self._kept = False
        self._fds: list[int] = []
        self._pumps: list[Pump] = []
        try:
            self.run_log = self._open(paths.run_log)
            self.stdout_log = self._open(paths.stdout)
            self.stderr_log = self._open(paths.stderr) if not paths.merged else None
            self.stdout = self.captured = self.stdout_log
            self.stderr = self.stdout_log if self.stderr_log is None else self.stderr_log
            texts = [task.step.script, *(command.text for command in task.step.commands)]
            by_name = any(_OPENED_BY_NAME.search(text) for text in texts)
            if paths.merged and task.step.output is not None:
                self.captured = self._open(_captured_path(paths))
                # Both through pipes: what went by the shorter way would stand first in the log.
                self.stdout = self._pump((self.stdout_log, self.captured))
                self.stderr = self._pump((self.stdout_log,))
            elif by_name:
                self.stdout = self._pump((self.stdout_log,))
                self.stderr = self.stdout if self.stderr_log is None else self._pump((self.stderr_log,))
        except OSError:
            self.close()
            raise

    def note(self, line: str) -> None:
        """Add a line to this worker's log of the run, for the people who read ``$DAG_RUN_LOG_FILE``."""
        with suppress(OSError):
            os.write(self.run_log, f"{line}\n".encode(errors="replace"))

    def copy_apart(self, stdout: int | None, stderr: int | None, masker: Masker) -> None:
        """Give each of two streams that share a log its own copy, without the secrets. Nothing was written yet."""
        self.finish()
        captured = () if self.captured == self.stdout_log else (self.captured,)
        copies = [None if fd is None else (fd, masker.afresh()) for fd in (stdout, stderr)]
        self.stdout = self._pump((self.stdout_log, *captured), copies[0])
        self.stderr = self._pump((self.stdout_log,), copies[1])

    def finish(self) -> None:
        """Nothing more is written: what was written is in the files from here on.

        Raises ``OSError`` where something could not be.
        """
        while self._pumps:
            self._pumps.pop().close()

    def keep(self, masker: Masker) -> None:
        """Put what was written where later steps read it: behind the tries before, and without the secrets.

        Only once, and as far as the disk lets it: the logs are shipped all the same.
        """
        if self._kept:
            return
        self._kept = True
        try:
            self.finish()
            self._keep(masker)
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
            if fd is None or (path == whole and not masker):
                continue
            target = Path(f"{path}~" if path == whole else whole)
            with target.open("ab") as file:
                file.writelines(_masked(fd, masker.afresh()))
            if path == whole:
                target.replace(path)
            else:
                Path(path).unlink()

    def close(self) -> None:
        try:
            self.finish()
        finally:
            while self._fds:
                os.close(self._fds.pop())

    def open_copy(self, path: Path) -> int:
        """Open one of the step's own ``stdout:`` and ``stderr:`` files; closed with the rest."""
        return self._open(str(path))

    def _open(self, path: str) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            fd = os.open(path, flags, _FILE_MODE)
        except FileNotFoundError:
            Path(path).parent.mkdir(_DIR_MODE, parents=True, exist_ok=True)
            fd = os.open(path, flags, _FILE_MODE)
        self._fds.append(fd)
        return fd

    def _pump(self, targets: Sequence[int], copy: tuple[int, Masker] | None = None) -> int:
        pump = Pump(targets, copy)
        self._pumps.append(pump)
        return pump.fd
