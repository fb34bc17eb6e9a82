"""Folders and files that only their owner can read, whatever the process's umask is."""

import os
import stat
from pathlib import Path

__all__ = ["others_can_enter", "private_file", "private_folder", "replace_private_file"]

_COMPANIONS = ("-wal", "-shm", "-journal")
"""Files that SQLite keeps beside a database, with the database's mode from when they were created."""


def private_folder(path: Path) -> None:
    """Create the folder and its missing parents with mode 0700.

    If the folder exists, other users lose their rights to it; its mode stays if this process may not change it.
    """
    if not path.parent.exists():  # mkdir would create parents with the mode that the umask allows
        private_folder(path.parent)
    path.mkdir(0o700, exist_ok=True)
    _narrow(path, 0o700)


def private_file(path: Path) -> None:
    """Create an empty file with mode 0600, before SQLite would create it with the mode that the umask allows.

    If the file exists, other users lose their rights to it and to the files that SQLite keeps beside it. A mode that
    this process may not change stays.

    Raises:
        OSError: the file cannot be created.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _narrow(path, 0o600)
    for suffix in _COMPANIONS:
        _narrow(path.with_name(path.name + suffix), 0o600)


def replace_private_file(path: Path, text: str) -> None:
    """Replace the content of a private file, as a whole or not at all. Raises ``OSError``."""
    part = path.with_suffix(".part")
    private_file(part)
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def others_can_enter(path: Path) -> bool:
    """Return whether users other than the folder's owner have any right to it."""
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _narrow(path: Path, mode: int) -> None:
    """Take away the rights that ``mode`` lacks. Another owner's file is left alone."""
    try:
        found = stat.S_IMODE(path.stat().st_mode)
        if found & ~mode:
            path.chmod(found & mode)
    except (FileNotFoundError, PermissionError):
        pass
