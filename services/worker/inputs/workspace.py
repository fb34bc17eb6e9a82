"""The directories of a run on this worker.

By default, steps run in the folder of their DAG's file, as in Dagu. If this worker does not have the DAG files, they
run in ``<data>/runs/<dag>/<run id>``, which only this run uses. Logs are in ``<logs>/<dag>/<run id>``, those of the
run's second attempt in the folder ``2`` there. For a sub-run, ``<run id>`` is ``<root dag>~<root run id>~<run id>``.
"""

import errno
import logging
import os
import re
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from services.worker.inputs.environment import Inputs, host_variables
from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.process.step_users import StepUser, StepUsers, make_folder
from shared.contracts.tasks import Task
from shared.language.expansion.expand import Scope, expand, needs_shell
from shared.system.proc import PROC
from shared.workspaces import DEFAULT, MARK, workspace_of

__all__ = ["Workspace", "folder_name", "run_folder"]

_log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_DIR_MODE = 0o750
_PRIVATE_MODE = 0o700
_PASSAGE_MODE = 0o711
"""Of a folder on the way to a run's own, if steps have other users: they may pass, but not look around."""
_LOG_FOLDER_MODE = 0o2750
"""Of a run's folder of logs: its steps may read, and only the worker writes."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directories of a worker.

    Only this worker uses ``data_dir``. ``dags_dir`` is the folder of the DAG files, or ``None`` if the worker has none.
    Steps have the worker's own user if ``users`` is ``None``.
    """

    data_dir: Path
    dags_dir: Path | None = None
    users: StepUsers | None = None
    private: tuple[Path, ...] = ()
    """Files and folders that no DAG may name, if ``users`` is not ``None``. Run and DAG folders may lie in them."""

    def user(self, task: Task) -> StepUser | None:
        """Return the user of a run's steps; ``None`` if it is the worker's own. Raises ``NoFreeUser``."""
        if self.users is None:
            return None
        return self.users.of(_root_run(task))

    def user_kept(self, task: Task) -> AbstractContextManager[None]:
        """Keep the user of the task's run from other runs inside the ``with`` block: its attempt is at work."""
        return nullcontext() if self.users is None else self.users.kept(_root_run(task))

    def make_run_dir(self, task: Task) -> Path:
        """Create the directory that only this run uses. Raises ``OSError``."""
        folder = self.run_dir(task)
        if not folder.is_dir():
            self._make_passage(folder.parent)
            make_folder(folder, self.user(task), mode=_PRIVATE_MODE)
        return folder

    def make_folder(self, folder: Path, task: Task) -> None:
        """Create a directory for a run's steps, with its parents. Raises ``OSError``."""
        own = self.run_dir(task)
        if folder.is_relative_to(own):
            self.make_run_dir(task)
        if folder != own:
            make_folder(folder, self.user(task), self.making(task).check)

    def directory(self, task: Task, inputs: Inputs) -> Path:
        """Return the directory in which conditions and back-quoted commands run.

        It is the step's directory if that exists, else the DAG's directory, which is created. Raises ``OSError``.
        """
        if inputs.working_dir.is_dir():
            return inputs.working_dir
        self.make_folder(inputs.dag_dir, task)
        return inputs.dag_dir

    def reach(self, task: Task) -> Reach:
        """Return which files the run may name. Raises ``NoFreeUser``."""
        if self.users is None:
            return EVERYTHING
        return replace(self._reach(self.run_dir(task)), user=self.user(task))

    def making(self, task: Task) -> Reach:
        """Return where the worker makes folders for the run: not among the DAG files, where its steps could add others.

        Where the steps may make folders themselves, it is not asked.
        """
        dags = () if self.users is None or self.dags_dir is None else (self.dags_dir,)
        reach = self.reach(task)
        return Reach((*reach.private, *dags), tuple(each for each in reach.own if each not in dags))

    def _reach(self, *own: Path) -> Reach:
        return Reach((*self.private, Path(PROC)), own if self.dags_dir is None else (*own, self.dags_dir))

    def home(self, task: Task) -> str:
        """Return the home directory of a run's steps; empty if it is the worker's own. Raises ``OSError``."""
        user = self.user(task)
        return "" if user is None else user.home or str(self.make_run_dir(task))

    def make_log_folder(self, logs: Path, task: Task) -> None:
        """Create the folder of a run's logs below ``logs``, as ``log_folder`` returns it. Raises ``OSError``."""
        folder = logs / run_folder(task)
        if folder.is_dir():
            return
        user = self.user(task)
        self._make_passage(folder.parent)
        folder.mkdir(_PRIVATE_MODE, exist_ok=True)
        if user is not None:
            os.chown(folder, -1, user.gid)
            folder.chmod(_LOG_FOLDER_MODE)

    def _steady(self, folder: Path, users: StepUsers) -> Path:
        """Return the real path of a folder for logs. Raises ``PermissionError`` for one that a step could replace.

        The worker opens logs there by their names, also in later runs: a link could lead it to those of other runs.
        """
        real = Path(os.path.realpath(folder))
        self._reach().check(real)
        for each in (real, *real.parents):
            with suppress(FileNotFoundError):
                if users.may_change(each.lstat(), entries=each == real):
                    raise PermissionError(errno.EACCES, "steps could put other logs here", str(each))
        return real

    def _make_passage(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_passage(folder.parent)
            folder.mkdir(_PRIVATE_MODE, exist_ok=True)
            if self.users is not None:
                folder.chmod(_PASSAGE_MODE)

    def run_dir(self, task: Task) -> Path:
        """Return the directory that only this run uses. It may not exist yet."""
        return _run_dir(self.data_dir, run_folder(task))

    def dag_folder(self, task: Task) -> Path:
        """Return the default directory of a run's steps.

        Source: docs/workflow-language.md#where-steps-run.
        """
        if self.dags_dir is None or not task.file_name or workspace_of(task.file_name) != DEFAULT:
            return self.run_dir(task)
        return _dag_folder(self.dags_dir, task.file_name)

    def log_folder(self, task: Task) -> Path:
        """Return the directory below which the run's logs are: the DAG's ``logDir``, else ``<data>/logs``.

        A ``logDir`` that is not writable, that the run may not name, or in whose place a step could put another folder
        is ignored. So is a ``logDir`` with a back-quoted command, since no command of the user may run yet.
        """
        if task.log_dir and not needs_shell(task.log_dir):
            try:
                text = expand(task.log_dir, Scope((dict(task.env), host_variables())))
                folder = Path(os.path.normpath(self.dag_folder(task) / Path(text).expanduser()))
                if self.users is None:
                    folder.mkdir(_DIR_MODE, parents=True, exist_ok=True)
                else:
                    folder = self._steady(folder, self.users)
                    folder.mkdir(_PASSAGE_MODE, parents=True, exist_ok=True)
                    folder = self._steady(folder, self.users)
            except (OSError, ValueError, RuntimeError) as error:
                _log.warning("log_dir.unusable", extra={"token": task.token, "error": str(error)})
            else:
                if text and os.access(folder, os.W_OK | os.X_OK):
                    return folder
        return _logs_dir(self.data_dir)


# Cached, since all steps of a run need these paths, and making a path is slow.


@lru_cache(1_000)
def _run_dir(data_dir: Path, name: str) -> Path:
    return data_dir / "runs" / name


@lru_cache(1_000)
def _dag_folder(dags_dir: Path, file_name: str) -> Path:
    return (dags_dir / file_name).parent


@lru_cache(1_000)
def _logs_dir(data_dir: Path) -> Path:
    return data_dir / "logs"


def run_folder(task: Task) -> str:
    """Return the relative folder of a run.

    The folder of a sub-run also contains its root run's names, since a sub-run's id is unique only below its root run.
    """
    names = [task.dag_run_id]
    if (task.root_dag_name, task.root_dag_run_id) != (task.dag_name, task.dag_run_id):
        names = [task.root_dag_name, task.root_dag_run_id, task.dag_run_id]
    return f"{folder_name(task.dag_name)}/{'~'.join(map(folder_name, names))}"


@lru_cache(1_000)
def folder_name(name: str) -> str:
    """Return a DAG's name or a run's id as the name of a folder."""
    # No other name of a folder contains a tilde twice, so runs of two workspaces never share a folder.
    safe = "~~".join(_UNSAFE.sub("_", part) for part in name.split(MARK))
    return safe if safe.strip(".") else "_"


def _root_run(task: Task) -> str:
    return f"{folder_name(task.root_dag_name)}/{folder_name(task.root_dag_run_id)}"
