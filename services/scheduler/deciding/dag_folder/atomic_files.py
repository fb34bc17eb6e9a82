"""Atomic changes of files that editors and other processes may change at the same time.

Linux can exchange two files, and rename one without overwriting another. Where the kernel or the file system cannot, a
portable way is used; the docstrings say what it guarantees less.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shared.ids import new_token
from shared.system.renaming import EXCHANGE, NO_REPLACE, renamed

__all__ = ["create_file", "move_file", "remove_file", "replace_file"]

_NEW_FILE = 0o666

Accept = Callable[[Path], bool]
"""Whether the file may be replaced or removed, judged by its content."""


def create_file(path: Path, data: bytes) -> None:
    """Create a file whose content is durable. Raises ``FileExistsError`` if the path exists, and ``OSError``."""
    new = _written_beside(path, data, None)
    try:
        _rename_new(new, path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_file(path: Path, data: bytes, accept: Accept) -> bool:
    """Replace a file's content durably if ``accept`` allows it; return whether it did. Keeps mode and owner.

    No text is lost that somebody saves meanwhile: the present file is taken out and judged, and put back if it is not
    accepted. Without an exchange of files, a text saved in the microseconds between judgement and replacement is lost.

    Raises:
        OSError: the file or its folder cannot be written; the file is unchanged.
    """
    if not accept(path):
        return False
    new = _written_beside(path, data, path.stat())
    try:
        if not renamed(new, path, EXCHANGE):
            new.replace(path)
        elif not accept(new):
            renamed(new, path, EXCHANGE)
            if new.read_bytes() != data:
                # Somebody saved once more while our text was in place, so that text is the newest.
                renamed(new, path, EXCHANGE)
            return False
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def remove_file(path: Path, accept: Accept) -> bool:
    """Remove a file durably if ``accept`` allows it; return whether it did. Of a link, the link is removed.

    Raises:
        OSError: the folder cannot be written; the file is still there.
    """
    if not accept(path):
        return False
    taken = _beside(path)
    path.rename(taken)
    if not accept(taken):
        with suppress(FileExistsError):  # somebody saved a newer text meanwhile
            _rename_new(taken, path)
        taken.unlink(missing_ok=True)
        return False
    taken.unlink()
    _sync_folder(path.parent)
    return True


def move_file(path: Path, target: Path) -> None:
    """Rename a file durably, whatever it contains. Raises ``FileExistsError`` if ``target`` exists, and ``OSError``."""
    _rename_new(path, target)
    _sync_folder(target.parent)


def _beside(path: Path) -> Path:
    # Hidden and without the extension of a DAG, so that nobody loads it.
    return path.with_name(f".{path.name}.{new_token()[:12]}.part")


def _written_beside(path: Path, data: bytes, like: os.stat_result | None) -> Path:
    new = _beside(path)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _NEW_FILE)
    try:
        with os.fdopen(fd, "wb") as file:
            if like is not None:
                if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                    with suppress(OSError):
                        os.fchown(fd, like.st_uid, like.st_gid)
                os.fchmod(fd, like.st_mode & 0o7777)
            file.write(data)
            file.flush()
            os.fsync(fd)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return new


def _rename_new(path: Path, target: Path) -> None:
    """Rename without overwriting. Where that is not one step, both names exist for a moment."""
    if not renamed(path, target, NO_REPLACE):
        os.link(path, target, follow_symlinks=False)
        path.unlink()


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
