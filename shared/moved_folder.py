"""A data folder whose content was moved to another system, or is being moved: nothing may run on it any more."""

import os
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigInvalid

__all__ = ["Mark", "close_folder", "mark_of", "require_open"]

_MARK = "MOVED"
_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Mark:
    """The URL of the database to which a folder was moved. ``pending``: it is not known whether it arrived."""

    to: str
    pending: bool


def close_folder(folder: Path, to: str, *, pending: bool) -> None:
    """Write down that the content of the folder is moved to the URL ``to``, which must have no password.

    The mark is on the disk when this returns: a loss of power must not open the folder again. Raises ``OSError``.
    """
    path = folder / _MARK
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(f"{to}\n" + (f"{_PENDING}\n" if pending else ""))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def mark_of(folder: Path) -> Mark | None:
    """Return where the content of the folder is, or ``None`` if nobody has begun to move it."""
    try:
        lines = (folder / _MARK).read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Mark(lines[0].strip(), pending=_PENDING in lines[1:])


def require_open(folder: Path) -> None:
    """Raise ``ConfigInvalid`` if the content of the folder was moved, or may have been."""
    mark = mark_of(folder)
    if mark is None:
        return
    if mark.pending:
        raise ConfigInvalid(
            f"the move of {folder} to {mark.to} was interrupted: repeat dagway move --to with the same database. It "
            "finds out how far the move came"
        )
    raise ConfigInvalid(
        f"{folder} was moved to {mark.to}: a second system on it would start every scheduled run twice. Delete "
        f"{folder / _MARK} only if that system was never started"
    )
