"""Removes the files of runs from this worker: their directories and logs.

The logs are stored in the database; the files serve the later steps of a run. When a run has succeeded, a scheduler
says so, and its files are removed soon after. A run that failed may be retried, and a run that waits goes on, so their
files are kept for days, unless there are too many of failed runs, or all take too much room. Files in the folder of the
DAG files, or in a DAG's ``logDir``, are not touched.
"""

import logging
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

from services.worker.ended_runs import EndedRuns
from services.worker.inputs.workspace import folder_name
from services.worker.process.folder_emptier import remove_folder
from services.worker.process.step_users import root_run_of
from shared.contracts.tasks import Task
from shared.disk import cure_of
from shared.ids import new_token

__all__ = ["RunFiles", "pause_s"]

_log = logging.getLogger(__name__)
_DAY_S = 86_400.0
_SOON_S = 300.0
"""How long the files of a run that succeeded are kept, for follow-ups of the run."""
_EVERY_S = 10.0
_OLD_EVERY_S = 3_600.0
_LOOK_EVERY_S = 60.0
_LOOK_SHARE = 0.01
"""The largest share of its time that a worker spends on measuring its files."""
_LOOK_AT_LATEST_S = 3_600.0
"""The longest time between two looks, whatever one took: it may have waited for a slow disk or a suspended machine."""
_TRASH = ".removed"
_MOST_LEVELS = 64
"""How deep the files of a run are measured."""
_BLOCK_BYTES = 512
"""The unit of ``st_blocks``, whatever the file system's."""


class RunFiles:
    """The folders of runs below ``<data_dir>/runs`` and ``<data_dir>/logs``. Thread-safe.

    Files are kept for ``keep_days`` after the last change of their folder; 0 keeps them for ever, also those of runs
    that ended. Only the ``most_failed`` runs that failed last keep their files. Above ``most_bytes`` in all, the files
    that changed longest ago go first. For these two, 0 sets no limit. Files in use stay whatever they take.
    ``empty_as`` empties a folder as the user with this id, who is its owner; ``None`` if all folders are the worker's.
    ``end_left`` ends what is left of the processes of a root run whose files go: they could keep them from going.
    """

    def __init__(
        self,
        data_dir: Path,
        keep_days: float,
        empty_as: Callable[[int, Path], None] | None = None,
        *,
        end_left: Callable[[str], None] | None = None,
        most_failed: int = 0,
        most_bytes: int = 0,
    ) -> None:
        self._used_bytes = self._grown_bytes = 0
        """What ``data_dir`` takes, and how much of it the logs have grown since the beginning of the last look."""
        self._data_dir = data_dir
        self._most_failed = most_failed
        self._most_bytes = most_bytes
        self._empty_as = empty_as
        self._end_left = end_left
        self._bases = (data_dir / "runs", data_dir / "logs")
        self._trash = data_dir / _TRASH
        self._keep_s = keep_days * _DAY_S
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()
        self._ended = EndedRuns(data_dir / "ended", _SOON_S)

    @property
    def used_bytes(self) -> int:
        """What ``data_dir`` takes on disk: as of the last look, with what logs have grown and was removed since."""
        return max(self._used_bytes, 0)

    def grew(self, size: int) -> None:
        """Note that a log takes so many bytes more, or fewer."""
        with self._lock:
            self._used_bytes += size
            self._grown_bytes += size

    @contextmanager
    def using(self, task: Task) -> Iterator[None]:
        """Keep the files of the task's run while an attempt needs them."""
        root = _root((task.root_dag_name, task.root_dag_run_id))
        with self._lock:
            self._in_use[root] += 1
            self._ended.begun(root)
        try:
            yield
        finally:
            with self._lock:
                self._in_use[root] -= 1
                if not self._in_use[root]:
                    del self._in_use[root]

    def ended(self, succeeded: Iterable[tuple[str, str]], failed: Iterable[tuple[str, str]] = ()) -> None:
        """Note that these root runs, as (DAG name, run id), ended. Never blocks for long."""
        if self._keep_s:
            with self._lock:
                self._ended.add(map(_root, succeeded), map(_root, failed))

    def run(self, stop: threading.Event) -> None:
        """Remove what is due, until ``stop`` is set."""
        old_at = look_at = 0.0
        began_at = time.time() - time.monotonic()
        while not stop.wait(_EVERY_S):
            now = time.monotonic()
            try:
                self.remove_succeeded(now)
                if self._keep_s and now >= old_at:
                    old_at = now + _OLD_EVERY_S
                    # If the host's clock has jumped ahead, no file has become older.
                    self.remove_old(min(time.time(), began_at + now) - self._keep_s)
                if now >= look_at:
                    look_at = now + _LOOK_EVERY_S
                    began = time.monotonic()
                    self.remove_most()
                    ended = time.monotonic()
                    look_at = ended + pause_s(ended - began)
            except OSError as error:
                # Somebody has taken the folder away, or the disk fails: no bug, for which the worker would end.
                _log.warning("run_files.not_removed", extra={"error": str(error), "next": cure_of(error)})

    def remove_succeeded(self, now: float) -> None:
        """Remove the files of the runs that succeeded ``_SOON_S`` before ``now`` (monotonic time) or earlier."""
        with self._lock:
            due = {root for root, at in self._ended.succeeded.items() if at <= now and root not in self._in_use}
            self._ended.drop(due)
        if due:
            self._remove(self._folders_of(due))

    def remove_old(self, before: float) -> None:
        """Remove the folders that nothing was written to since ``before`` (seconds since the epoch)."""
        self._remove(folder for folder in self._folders() if _changed_at(folder) < before)

    def look(self) -> dict[Path, int]:
        """Measure what ``data_dir`` takes. Return the size of each folder of a run."""
        with self._lock:
            self._grown_bytes = 0
        sizes = {folder: _size(folder) for folder in self._folders()}
        other = sum(_size(path) for path in self._data_dir.iterdir() if path not in self._bases)
        with self._lock:
            self._used_bytes = other + sum(sizes.values()) + self._grown_bytes
        return sizes

    def remove_most(self) -> None:
        """Look at all folders. Remove those of too many failed runs, then others until they take ``most_bytes``."""
        with self._lock:
            failed = list(self._ended.failed)
        sizes = self.look()
        taken = sum(sizes.values())
        here = {root_run_of(folder) for folder in sizes}
        with self._lock:
            in_use = set(self._in_use)
            failed = [root for root in failed if root in self._ended.failed]  # not retried meanwhile
            with_files = [root for root in failed if root in here]
            too_old = set(with_files[: -self._most_failed]) if self._most_failed else set()
            self._ended.drop(too_old | (set(failed) - here))
        going = [folder for folder in sizes if root_run_of(folder) in too_old]
        taken -= sum(sizes[folder] for folder in going)
        if self._most_bytes and taken > self._most_bytes:
            for folder in sorted(sizes.keys() - set(going), key=_changed_at):
                if taken <= self._most_bytes:
                    break
                if root_run_of(folder) not in in_use:
                    going.append(folder)
                    taken -= sizes[folder]
        if going:
            _log.info("run_files.limit_reached", extra={"folders": len(going)})
            self._remove(going)

    def _folders(self) -> Iterator[Path]:
        for base in self._bases:
            yield from base.glob("*/*")

    def _folders_of(self, roots: AbstractSet[str]) -> Iterator[Path]:
        """Yield where the folders of these root runs are if they have any, and the folders of their sub-runs."""
        for base in self._bases:
            yield from (base / root for root in roots)
            # Only a sub-run's folder has its root run in its name. Most folders are not looked at: there are many.
            yield from (folder for folder in base.glob("*/*~*") if root_run_of(folder) in roots)

    def _remove(self, folders: Iterable[Path]) -> None:
        of_dags: set[Path] = set()
        roots: set[str] = set()
        for folder in folders:
            root = root_run_of(folder)
            with self._lock:
                if root in self._in_use:
                    continue
                _take_away(folder, self._trash)
            of_dags.add(folder.parent)
            roots.add(root)
        if self._end_left is not None:
            for root in roots:
                self._end_left(root)
        for of_dag in of_dags:
            with suppress(OSError):
                of_dag.rmdir()  # if this was the DAG's last run
        if self._trash.is_dir():
            before = _size(self._trash)
            remove_folder(self._trash)
            self._empty_leftovers()
            self.grew(_size(self._trash) - before)

    def _empty_leftovers(self) -> None:
        """Remove what a step made in such a way that only its own user can empty it."""
        if self._empty_as is None or not self._trash.is_dir():
            return
        # Its owner has to reach it. The names are random, and nobody can list them.
        with suppress(OSError):
            for place, inside, _ in os.walk(self._trash):
                Path(place).chmod(0o711)
                for name in list(inside):
                    folder = Path(place, name)
                    about = folder.lstat()
                    if stat.S_ISDIR(about.st_mode) and about.st_uid != os.getuid():
                        inside.remove(name)
                        self._empty_as(about.st_uid, folder)
        remove_folder(self._trash)


def pause_s(look_took_s: float) -> float:
    """Return how long after a look at the files that took so long the next one comes."""
    return min(max(_LOOK_EVERY_S, look_took_s / _LOOK_SHARE), _LOOK_AT_LATEST_S)


def _take_away(folder: Path, trash: Path) -> None:
    """Remove a folder if it is empty, as the directories of most runs are. Else move it, if there is one.

    Both are quick, so that no attempt waits, and none finds half of its files.
    """
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        with suppress(OSError):
            trash.mkdir(0o700, exist_ok=True)
            folder.rename(trash / new_token())


def _root(run: tuple[str, str]) -> str:
    """Return the name of a root run, given as (DAG name, run id), in ``root_run_of``."""
    return "/".join(map(folder_name, run))


def _size(path: Path) -> int:
    """Return the bytes on disk of a file, or of a folder with all in it, as far as this process may look."""
    blocks = 0
    with suppress(OSError):
        blocks += path.lstat().st_blocks
    return (blocks + _blocks_in(str(path), None, _MOST_LEVELS)) * _BLOCK_BYTES


def _blocks_in(name: str, beneath: int | None, levels: int) -> int:
    """Return the blocks of all in a folder, which is ``name`` in an open one.

    It keeps a descriptor for each level, and no names: a step decides how many there are, and how long.
    """
    blocks = 0
    with suppress(OSError):
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=beneath)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        blocks += entry.stat(follow_symlinks=False).st_blocks
                        if levels and entry.is_dir(follow_symlinks=False):
                            blocks += _blocks_in(entry.name, folder, levels - 1)
        finally:
            os.close(folder)
    return blocks


def _changed_at(folder: Path) -> float:
    """Return when a folder, or what is directly in it, changed last. A folder that vanishes changed just now."""
    try:
        with os.scandir(folder) as entries:
            inside = (entry.stat(follow_symlinks=False).st_mtime for entry in entries)
            return max(folder.lstat().st_mtime, max(inside, default=0))
    except OSError:
        return time.time()
