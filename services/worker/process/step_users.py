"""The user that a step's processes run as, if it is not the worker's own.

With a range of users, each run has one of its own, so that runs cannot read or signal each other. A sub-run has its
root run's, since it may work in the directory of its caller. The group of a run's folder records its user over
restarts: the worker owns the folder, so no step can change it.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DagwayError

__all__ = ["NoFreeUser", "StepUser", "StepUsers", "make_folder", "root_run_of", "share_folder"]

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
        """Give an open file of the worker to the step's group, with the permissions ``mode``."""
        os.fchown(fd, -1, self.gid)
        os.fchmod(fd, mode)


def make_folder(path: Path, user: StepUser | None, *, mode: int = 0o750) -> None:
    """Create a folder, and its parents, for a step. ``mode`` is for steps that have the worker's user.

    Raises ``OSError``.
    """
    if user is None:
        path.mkdir(mode, parents=True, exist_ok=True)
        return
    if path.is_dir():
        return
    make_folder(path.parent, user)
    path.mkdir(_CLOSED_MODE, exist_ok=True)
    share_folder(path, user)


def share_folder(folder: Path, user: StepUser) -> None:
    """Let a step with a user of its own read and write in a folder of the worker. Raises ``OSError``."""
    os.chown(folder, -1, user.gid)
    folder.chmod(_FOLDER_MODE)


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

    def with_uid(self, uid: int) -> StepUser | None:
        """Return the user with this id, or ``None`` if it is none of ours."""
        number = uid - self._first.uid
        if not 0 <= number < self._count:
            return None
        return self._first if self._count == 1 else self._user(number)

    def _user(self, number: int) -> StepUser:
        return StepUser(self._first.uid + number, self._first.gid + number)

    def _free_number(self) -> int:
        if len(self._numbers) < self._count:
            taken = set(self._numbers.values())
            if (free := next((each for each in range(self._count) if each not in taken), None)) is not None:
                return free
        for run, number in self._numbers.items():
            if self._release(self._user(number)):
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
