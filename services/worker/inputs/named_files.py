"""Open files that a DAG names, for the worker itself: dotenv files, secrets, schemas, attachments, copies of output.

If steps have a user of their own, the worker may read what the step may not: its spool, the folders of other runs, its
own ``/proc``. A DAG must not get at them by naming them. Nor at other files that the user of its steps may not read:
the worker opens those only for itself, as it does secrets and keys.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from services.worker.process.step_users import StepUser
from shared.system.proc import path_of

__all__ = ["EVERYTHING", "Reach"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Which files a run may name: all but those below ``private``, apart from those below ``own``."""

    private: tuple[Path, ...] = ()
    own: tuple[Path, ...] = ()
    user: StepUser | None = None
    """The user of the run's steps, if it is not the worker's."""

    def open(self, path: str | Path, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """Open a file as ``os.open`` does. Raises ``PermissionError`` if the run may not name it."""
        # Before, so that no file is made; after, in case a step has replaced a link in between.
        self.check(path)
        fd = os.open(path, flags, mode)
        try:
            if self.private:
                self._check(path, path_of(fd))
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_to_read(self, path: str | Path) -> int:
        """Open a regular file whose content the step may get to see: its user must be allowed to read it.

        Raises what ``open_to_use`` raises.
        """
        fd = self.open_to_use(path)
        try:
            if self.user is not None:
                self._check_user(path, Path(path_of(fd)), os.fstat(fd), self.user)
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_to_use(self, path: str | Path) -> int:
        """Open a regular file for the worker, such as a key, which the user of the step need not be allowed to read.

        Raises what ``open`` raises, and another ``OSError`` for a folder, pipe or device: neither a stop nor the
        timeout of a step would end the wait for somebody who writes to a pipe.
        """
        fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return fd

    def check(self, path: str | Path) -> None:
        """Raise ``PermissionError`` if the run may not name a path."""
        if self.private:
            self._check(path, os.path.realpath(path))

    def leads(self, user: StepUser, target: Path) -> bool:
        """Return whether a step itself gets to a file, through each of the folders on the way. Raises ``OSError``."""
        return self._is_own(target) or all(user.may_search(folder.stat()) for folder in target.parents)

    def may_enter(self, folder: Path) -> bool:
        """Return whether a folder exists and steps may work there.

        One in a volume that several workers share, or on their machine, can be that of another worker.
        """
        try:
            real = folder.resolve(strict=True)
            if not real.is_dir():
                return False
            if self.user is None:
                return os.access(real, os.X_OK)
            return all(self.user.may_search(each.stat()) for each in (real, *real.parents))
        except OSError:
            return False

    def _check(self, path: str | Path, real: str) -> None:
        target = Path(real)
        if any(map(target.is_relative_to, self.private)) and not self._is_own(target):
            raise PermissionError(errno.EACCES, "only the worker may read or write this file", str(path))

    def _check_user(self, path: str | Path, target: Path, about: os.stat_result, user: StepUser) -> None:
        if self._is_own(target):
            return
        if not user.may_read(about) or not self.leads(user, target):
            raise PermissionError(errno.EACCES, "the user of the step may not read this file", str(path))

    def _is_own(self, target: Path) -> bool:
        return any(map(target.is_relative_to, self.own))


EVERYTHING = Reach()
"""All files that the worker may open: if steps have the worker's user, they may open them too."""
