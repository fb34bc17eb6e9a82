"""Open the file that a step names for its output, if steps have a user of their own: with the rights of that user.

The worker writes to this file, with rights that the step does not have: in its home directory, for instance, or in the
folder of the DAG files.
"""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from services.worker.inputs.named_files import Reach
from services.worker.process.step_users import StepUser
from shared.system.proc import path_of

__all__ = ["open_for_step"]

_FLAGS = os.O_RDWR | os.O_APPEND
_MODE = 0o660
_making = threading.Lock()


def open_for_step(path: Path, reach: Reach, user: StepUser, make_folder: Callable[[Path], None]) -> int:
    """Open a file that a step may write to itself, for appending. If it is missing, make it, for the step to use.

    ``make_folder`` makes its missing parents. Raises ``OSError``.
    """
    try:
        return _open(path, reach, user)
    except (FileNotFoundError, PermissionError):
        # Another step of the run may be making it, and has not given it to their user yet.
        with _making:
            try:
                return _open(path, reach, user)
            except FileNotFoundError:
                return _make(path, reach, user, make_folder)


def _open(path: Path, reach: Reach, user: StepUser) -> int:
    fd = reach.open(path, _FLAGS)
    try:
        _check(fd, path, reach, user)
    except OSError:
        os.close(fd)
        raise
    return fd


def _make(path: Path, reach: Reach, user: StepUser, make_folder: Callable[[Path], None]) -> int:
    reach.check(path)
    real = Path(os.path.realpath(path))
    if not real.parent.is_dir():
        make_folder(real.parent)
    # The step may replace parts of the path by links meanwhile, so what is checked is the folder that is open.
    parent = os.open(real.parent, os.O_DIRECTORY | getattr(os, "O_PATH", 0))
    try:
        _check(parent, path, reach, user)
        fd = os.open(real.name, _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        user.share(fd, _MODE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(fd: int, path: Path, reach: Reach, user: StepUser) -> None:
    if not user.may_write(os.fstat(fd)) or not reach.leads(user, Path(path_of(fd))):
        raise PermissionError(errno.EACCES, "the user of the step may not write there", str(path))
