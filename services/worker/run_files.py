"""Removes the files of runs from this worker: their directories and logs.

The logs are stored in the database; the files serve the later steps of a run. When a run has succeeded, a scheduler
says so, and its files are removed soon after. A run that failed may be retried, and a run that waits goes on, so their
files are kept for days. Files in the folder of the DAG files, or in a DAG's ``logDir``, are not touched.
"""

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.worker.inputs.workspace import folder_name
from services.worker.process.step_users import root_run_of
from shared.contracts.tasks import Task
from shared.ids import new_token

__all__ = ["RunFiles"]

_log = logging.getLogger(__name__)
_DAY_S = 86_400.0
_SOON_S = 300.0
"""How long the files of a run that succeeded are kept, for side tasks of the run."""
_EVERY_S = 10.0
_OLD_EVERY_S = 3_600.0
_TRASH = ".removed"


class RunFiles:
    """The folders of runs below ``<data_dir>/runs`` and ``<data_dir>/logs``. Thread-safe.

    Files are kept for ``keep_days`` after the last change of their folder; 0 keeps them for ever, also those of runs
    that succeeded.
    """

    def __init__(self, data_dir: Path, keep_days: float) -> None:
        self._bases = (data_dir / "runs", data_dir / "logs")
        self._trash = data_dir / _TRASH
        self._keep_s = keep_days * _DAY_S
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()
        self._succeeded: dict[str, float] = {}
        """By root run, as ``root_run_of`` names it: when its files may go (monotonic time)."""

    @contextmanager
    def using(self, task: Task) -> Iterator[None]:
        """Keep the files of the task's run while an attempt needs them."""
        root = f"{folder_name(task.root_dag_name)}/{folder_name(task.root_dag_run_id)}"
        with self._lock:
            self._in_use[root] += 1
            # A retry: whether the run succeeds again will be said again.
            self._succeeded.pop(root, None)
        try:
            yield
        finally:
            with self._lock:
                self._in_use[root] -= 1
                if not self._in_use[root]:
                    del self._in_use[root]

    def succeeded(self, runs: Iterable[tuple[str, str]]) -> None:
        """Note that these root runs, as (DAG name, run id), succeeded. Never blocks for long."""
        if not self._keep_s:
            return
        due = time.monotonic() + _SOON_S
        with self._lock:
            for dag_name, run_id in runs:
                self._succeeded[f"{folder_name(dag_name)}/{folder_name(run_id)}"] = due

    def run(self, stop: threading.Event) -> None:
        """Remove what is due, until ``stop`` is set."""
        old_at = 0.0
        while not stop.wait(_EVERY_S):
            now = time.monotonic()
            self.remove_succeeded(now)
            if self._keep_s and now >= old_at:
                old_at = now + _OLD_EVERY_S
                self.remove_old(time.time() - self._keep_s)

    def remove_succeeded(self, now: float) -> None:
        """Remove the files of the runs that succeeded ``_SOON_S`` before ``now`` (monotonic time) or earlier."""
        with self._lock:
            due = {root for root, at in self._succeeded.items() if at <= now and root not in self._in_use}
            for root in due:
                del self._succeeded[root]
        if due:
            self._remove(folder for folder in self._folders() if root_run_of(folder) in due)

    def remove_old(self, before: float) -> None:
        """Remove the folders that nothing was written to since ``before`` (seconds since the epoch)."""
        self._remove(folder for folder in self._folders() if _changed_at(folder) < before)

    def _folders(self) -> Iterator[Path]:
        for base in self._bases:
            yield from base.glob("*/*")

    def _remove(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            self._trash.mkdir(0o700, exist_ok=True)
            with self._lock:
                if root_run_of(folder) in self._in_use:
                    continue
                # Moving is quick, so that no attempt waits, and none finds half of its files.
                with suppress(OSError):
                    folder.rename(self._trash / new_token())
            with suppress(OSError):
                folder.parent.rmdir()  # if this was the DAG's last run
        if self._trash.is_dir():
            # A step may have made folders that only its own user can empty.
            shutil.rmtree(self._trash, ignore_errors=True)


def _changed_at(folder: Path) -> float:
    """Return when a folder, or what is directly in it, changed last. A folder that vanishes changed just now."""
    try:
        return max(each.lstat().st_mtime for each in (folder, *folder.iterdir()))
    except OSError:
        return time.time()
