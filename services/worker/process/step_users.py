"""The user that a step's processes run as, if it is not the worker's own.

With a range of users, each run has one of its own, so that runs cannot read or signal each other. A sub-run has its
root run's, since it may work in the directory of its caller. The group of a run's folder records its user over
restarts: the worker owns the folder, so no step can change it.
"""

import os
import stat
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DagwayError
from shared.system.proc import path_of

__all__ = ["NoFreeUser", "StepUser", "StepUsers", "any_folder", "make_folder", "root_run_of", "share_folder"]

_FOLDER_MODE = 0o2770
"""The owner is the worker, the group the step's. Set-group-id: what the step makes there, the worker can read."""
_CLOSED_MODE = 0o700


@dataclass(frozen=True, slots=True)
class StepUser:
    """A user and group for steps. The worker is a member of the group, and so can share files with the step."""

    uid: int
    gid: int
    home: str = ""
    """The home directory; empty if the user has none, then a run's own folder serves."""

    def share(self, fd: int, mode: int) -> None:
        """Give an open file of the worker to the step's group, with the permissions ``mode``.

        A device such as /dev/null stays as it is: it belongs to everybody.
        """
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            os.fchown(fd, -1, self.gid)
            os.fchmod(fd, mode)

    def may_write(self, about: os.stat_result) -> bool:
        """Return whether a step may itself write to a file, or make files in a folder."""
        return self._may(about, stat.S_IWOTH)

    def may_read(self, about: os.stat_result) -> bool:
        """Return whether a step may itself read a file that it reaches."""
        return self._may(about, stat.S_IROTH)

    def may_search(self, folder: os.stat_result) -> bool:
        """Return whether a step may itself reach what is in a folder."""
        return self._may(folder, stat.S_IXOTH)

    def _may(self, about: os.stat_result, of_others: int) -> bool:
        shift = 6 if about.st_uid == self.uid else 3 if about.st_gid == self.gid else 0
        return bool(about.st_mode >> shift & of_others)


def any_folder(_path: str) -> None:
    """Allow every folder: the default of what checks where the worker makes folders for a step."""


def make_folder(
    path: Path, user: StepUser | None, check: Callable[[str], None] = any_folder, *, mode: int = 0o750
) -> None:
    """Create a folder, and its parents, for a step. ``mode`` is for steps that have the worker's user.

    A step with a user of its own may replace parts of the path by links meanwhile, so each part is opened beneath the
    one before. ``check`` raises ``PermissionError`` for the path of a folder in which the worker may make none, unless
    the step may do so itself. Raises ``OSError``.
    """
    if user is None:
        path.mkdir(mode, parents=True, exist_ok=True)
        return
    missing: list[str] = []
    while not path.is_dir():
        missing.append(path.name)
        path = path.parent
    if not missing:
        return
    parent = os.open(path, os.O_DIRECTORY | getattr(os, "O_PATH", 0))
    try:
        for name in reversed(missing):
            folder = _open_folder(parent, name, user, check)
            os.close(parent)
            parent = folder
    finally:
        os.close(parent)


def _open_folder(parent: int, name: str, user: StepUser, check: Callable[[str], None]) -> int:
    """Return a descriptor of the folder ``name`` in an open one. If there is none, make it, for the steps of a user."""
    about = os.fstat(parent)
    if about.st_uid != user.uid and not (about.st_gid == user.gid and about.st_mode & stat.S_IWGRP):
        check(path_of(parent))
    made = False
    with suppress(FileExistsError):
        os.mkdir(name, _CLOSED_MODE, dir_fd=parent)
        made = True
    folder = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        if made:
            user.share(folder, _FOLDER_MODE)
    except OSError:
        os.close(folder)
        raise
    return folder


def share_folder(folder: Path, user: StepUser) -> None:
    """Let a step with a user of its own read and write in a folder of the worker. Raises ``OSError``."""
    # In a folder of the step, it may be a link by now.
    fd = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        user.share(fd, _FOLDER_MODE)
    finally:
        os.close(fd)


class NoFreeUser(DagwayError):
    """Every user of the range has an attempt of another run."""


class StepUsers:
    """Chooses the user of each run: ``first`` for all runs or, if ``count`` is above 1, one of a range for each.

    The users have consecutive ids from those of ``first``. ``shared`` are the folders with the folders of runs, two
    levels below. When every user has had a run, the run that was not seen for longest loses its user to the next one:
    its folders are closed, and should it be retried, it begins with another user and without its files. ``release``
    ends what is left of a user's processes and returns whether the user is free. Thread-safe.
    """

    def __init__(
        self, first: StepUser, count: int, shared: Sequence[Path], release: Callable[[StepUser], bool]
    ) -> None:
        self._first = first
        self._count = count
        self._shared = shared
        self._release = release
        self._lock = threading.Lock()
        self._numbers: OrderedDict[str, int] = OrderedDict()
        """The number of each run's user; the run seen last comes last."""
        self._attempts: Counter[str] = Counter()
        """How many attempts of each run are at work, also those that have no process now."""
        if count > 1:
            for folder, number in self._folders():
                self._numbers.setdefault(root_run_of(folder), number)

    def of(self, run: str) -> StepUser:
        """Return the user of ``run``, the folder name of a root run. Raises ``NoFreeUser``."""
        if self._count == 1:
            return self._first
        with self._lock:
            number = self._numbers.get(run)
            if number is None:
                number = self._numbers[run] = self._free_number()
            self._numbers.move_to_end(run)
        return self._user(number)

    @contextmanager
    def kept(self, run: str) -> Iterator[None]:
        """Let ``run`` keep its user inside the ``with`` block.

        An attempt has no process while it is prepared, between its conditions and its command, or in a type of step
        without one. Its user was free then, and it went on as the user of another run.
        """
        with self._lock:
            self._attempts[run] += 1
        try:
            yield
        finally:
            with self._lock:
                self._attempts[run] -= 1
                self._attempts += Counter()  # without those at 0

    def end_left(self, run: str) -> None:
        """End what is left of the processes of a run without an attempt, unless its user is for all runs."""
        if self._count == 1:
            return
        with self._lock:
            number = self._numbers.get(run)
            # Its user stays its own: others must not meet its files before they are removed.
            if number is not None and run not in self._attempts:
                self._release(self._user(number))

    def with_uid(self, uid: int) -> StepUser | None:
        """Return the user with this id, or ``None`` if it is none of ours."""
        number = uid - self._first.uid
        if not 0 <= number < self._count:
            return None
        return self._first if self._count == 1 else self._user(number)

    def may_change(self, folder: os.stat_result, *, entries: bool) -> bool:
        """Return whether a step may replace what is in this folder. ``entries``: or add to it, as to ``/tmp``."""
        mode = folder.st_mode
        by_all = mode & stat.S_IWOTH and (entries or not mode & stat.S_ISVTX)
        by_group = mode & stat.S_IWGRP and 0 <= folder.st_gid - self._first.gid < self._count
        return bool(by_all or by_group) or self.with_uid(folder.st_uid) is not None

    def _user(self, number: int) -> StepUser:
        return StepUser(self._first.uid + number, self._first.gid + number)

    def _free_number(self) -> int:
        if len(self._numbers) < self._count:
            taken = set(self._numbers.values())
            if (free := next((each for each in range(self._count) if each not in taken), None)) is not None:
                return free
        for run, number in self._numbers.items():
            if run not in self._attempts and self._release(self._user(number)):
                del self._numbers[run]
                self._close(number)
                return number
        raise NoFreeUser(f"all {self._count} users of DAGWAY_STEP_USER are busy with other runs")

    def _close(self, number: int) -> None:
        for folder, owner in self._folders():
            if owner == number:
                folder.chmod(_CLOSED_MODE)
                os.chown(folder, -1, os.getegid())

    def _folders(self) -> Iterator[tuple[Path, int]]:
        """Yield the folders of runs, each with the number of its user. The worker owns them, so this can be trusted."""
        for shared in self._shared:
            for folder in shared.glob("*/*"):
                with suppress(OSError):
                    number = folder.lstat().st_gid - self._first.gid
                    if 0 <= number < self._count and folder.is_dir():
                        yield folder, number


def root_run_of(folder: Path) -> str:
    """Return ``<dag>/<run id>`` of the root run that the folder of a run or sub-run belongs to."""
    # From the right: the DAG's name contains a tilde twice if it belongs to a workspace.
    dag, run, *_ = folder.name.rsplit("~", 2) if "~" in folder.name else (folder.parent.name, folder.name)
    return f"{dag}/{run}"
