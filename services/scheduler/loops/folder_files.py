"""Lists the files of the DAG folder, and says which files cannot be loaded and why.

A problem with one file does not affect the others. Only the folder itself must exist and be readable.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from services.scheduler.deciding.dag_folder.dag_files import MAX_BYTES
from shared.ids import valid_dag_name
from shared.language.file_names import EXTENSIONS

__all__ = ["UNREAD", "Listing", "Seen", "list_files", "reason", "seen", "shown"]

Seen = tuple[int, int, int]
"""A file's modification time in ns, its size and its inode. If none changes, the text counts as unchanged."""

UNREAD: Seen = (-1, -1, -1)
"""A file that exists but could not be read. It differs from every readable file, so the next pass tries it again."""

_MAX_PATH = 200
_NAMES_NO_FILE = (
    "not a valid file name: it is too long, has a backslash or characters that cannot be printed, or is made of dots"
)


@dataclass(frozen=True, slots=True)
class Listing:
    """``files``: files that may be DAGs or be called, by path in the folder. ``refused``: why files cannot be loaded.

    A file may be in both: it exists, so its DAG is not deleted but keeps its previous text.
    """

    files: dict[str, Seen] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def list_files(path: Path, answered: Callable[[], None] = lambda: None) -> Listing:
    """List the ``.yaml`` and ``.yml`` files in ``path`` and its sub-folders, except hidden folders and linked folders.

    ``answered`` is called whenever the file system has answered: a listing of many files may take long.

    Raises:
        OSError: ``path`` itself cannot be listed.
    """
    listing = Listing()
    folders = _list(path, "", listing, answered)
    while folders:
        inner = folders.pop()
        try:
            folders += _list(path / inner, f"{inner}/", listing, answered)
        except FileNotFoundError:
            continue
        except OSError as error:
            listing.refused[inner] = reason(error)
    _refuse_twins(listing)
    return listing


def seen(path: Path) -> Seen | None:
    """Return a file as it is now; ``None`` if there is no regular file or it cannot be reached."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _seen(status) if stat.S_ISREG(status.st_mode) else None


def _seen(status: os.stat_result) -> Seen:
    return status.st_mtime_ns, status.st_size, status.st_ino


def reason(error: OSError) -> str:
    """Return why a file is refused, without its absolute path, which the API must not disclose."""
    return f"cannot be read: {error.strerror or type(error).__name__}"


def shown(refused: Mapping[str, str]) -> dict[str, str]:
    """Return the problems to show in the API, by file name with non-printable characters escaped.

    In sub-folders an invalid file name is not shown as a problem: not every file there is meant to be called.
    """
    return {_shown(name): why for name, why in refused.items() if not ("/" in name and why == _NAMES_NO_FILE)}


def _shown(name: str) -> str:
    return (name if name.isprintable() else repr(name)[1:-1])[:_MAX_PATH]


def _list(folder: Path, prefix: str, listing: Listing, answered: Callable[[], None]) -> list[str]:
    """Add the files of one folder to ``listing``; return its sub-folders."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            answered()
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    folders.append(prefix + entry.name)
            elif entry.name.endswith(EXTENSIONS):
                _add(entry, prefix + entry.name, listing)
    return folders


def _add(entry: os.DirEntry[str], name: str, listing: Listing) -> None:
    stem = entry.name.removesuffix(".yaml").removesuffix(".yml")
    plain = valid_dag_name(stem)
    # As in Dagu, the name of a file may have blanks and letters of any script, if ``name`` in it is a valid DAG name.
    named = "\\" not in name and len(name) <= _MAX_PATH and name.isprintable() and stem.strip(".") != ""
    try:
        status = entry.stat()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        # A broken link is reported, unless its name is not a valid DAG name: then it may be an editor's lock file.
        if plain and named and (entry.is_symlink() or not gone):
            listing.refused[name] = reason(error)
        if named and not gone:
            listing.files[name] = UNREAD
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if not named:
        listing.refused[name] = _NAMES_NO_FILE
        return
    listing.files[name] = _seen(status)
    if status.st_size > MAX_BYTES:
        listing.refused[name] = reason(OSError(errno.EFBIG, "larger than 1 MiB"))


def _refuse_twins(listing: Listing) -> None:
    """Refuse ``a.yml`` if ``a.yaml`` exists: both would be the DAG ``a``."""
    for name in [each for each in listing.files if each.endswith(".yml")]:
        twin = f"{name.removesuffix('.yml')}.yaml"
        if twin in listing.files:
            del listing.files[name]
            listing.refused[name] = f"not loaded, because {PurePath(twin).name} exists: rename one of them"
