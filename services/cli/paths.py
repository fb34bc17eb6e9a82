"""Looking at paths that a user gave."""

from pathlib import Path

__all__ = ["is_file", "is_folder"]


def is_file(path: Path) -> bool:
    """Return whether a file is there and can be seen.

    ``Path.is_file`` raises if the name is too long or a folder on the way may not be entered.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there and can be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False
