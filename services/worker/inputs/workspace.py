"""The directories of a run on this worker.

By default, steps run in the folder of their DAG's file, as in Dagu. If this worker does not have the DAG files, they
run in ``<data>/runs/<dag>/<run id>``, which only this run uses. Logs are in ``<logs>/<dag>/<run id>/<run attempt>/``.
For a sub-run, ``<run id>`` is ``<root dag>~<root run id>~<run id>``.
"""

import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.worker.inputs.environment import host_variables
from shared.contracts.tasks import Task
from shared.language.expansion.expand import Scope, expand, needs_shell

__all__ = ["Workspace", "run_folder"]

_log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_DIR_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directories of a worker.

    Only this worker uses ``data_dir``. ``dags_dir`` is the folder of the DAG files, or ``None`` if the worker has none.
    """

    data_dir: Path
    dags_dir: Path | None = None

    def run_dir(self, task: Task) -> Path:
        """Return the directory that only this run uses. It may not exist yet."""
        return _run_dir(self.data_dir, run_folder(task))

    def dag_folder(self, task: Task) -> Path:
        """Return the default directory of a run's steps.

        Source: workflow language, section 2.2, ``workingDir``.
        """
        if self.dags_dir is None or not task.file_name:
            return self.run_dir(task)
        return (self.dags_dir / task.file_name).parent

    def log_folder(self, task: Task) -> Path:
        """Return the directory below which the run's logs are: the DAG's ``logDir``, else ``<data>/logs``.

        A ``logDir`` that is not writable is ignored. So is a ``logDir`` with a back-quoted command, since no command of
        the user may run yet.
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
def _run_dir(data_dir: Path, name: str) -> Path:
    # Cached, since all steps of a run need it and making a path is slow.
    return data_dir / "runs" / name


def run_folder(task: Task) -> str:
    """Return the relative folder of a run.

    The folder of a sub-run also contains its root run's names, since a sub-run's id is unique only below its root run.
    """
    names = [task.dag_run_id]
    if (task.root_dag_name, task.root_dag_run_id) != (task.dag_name, task.dag_run_id):
        names = [task.root_dag_name, task.root_dag_run_id, task.dag_run_id]
    return f"{_folder(task.dag_name)}/{'~'.join(map(_folder, names))}"


def _folder(name: str) -> str:
    safe = _UNSAFE.sub("_", name)
    return safe if safe.strip(".") else "_"
