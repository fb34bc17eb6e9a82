"""A data folder whose content was moved to another system: nothing may run on it any more."""

from pathlib import Path

from shared.errors import ConfigInvalid

__all__ = ["close_folder", "closed_for", "require_open"]

_MARK = "MOVED"


def close_folder(folder: Path, to: str) -> None:
    """Write down that the content of the folder is at the URL ``to``, which must have no password."""
    path = folder / _MARK
    path.write_text(f"{to}\n", encoding="utf-8")


def closed_for(folder: Path) -> str:
    """Return where the content of the folder is; empty if it was not moved."""
    try:
        return (folder / _MARK).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def require_open(folder: Path) -> None:
    """Raise ``ConfigInvalid`` if the content of the folder was moved."""
    if to := closed_for(folder):
        raise ConfigInvalid(
            f"{folder} was moved to {to}: a second system on it would start every scheduled run twice. Delete "
            f"{folder / _MARK} only if that system was never started"
        )
