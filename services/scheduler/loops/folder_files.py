"""The files of a followed folder: what lies there, and what of it cannot be loaded and why.

One file's trouble is its own: all others are listed. Only the folder itself must be there.
"""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from shared.ids import DAG_NAME_RULE, valid_dag_name

__all__ = ["UNREAD", "Listing", "Seen", "list_files", "read_data", "reason", "shown"]

Seen = tuple[int, int]
"""A file's modification time in ns, and its size: while both stay, the text is the same."""

UNREAD: Seen = (-1, -1)
"""A file that exists but could not be read. It equals no readable file, so it is tried again."""

_MAX_PATH = 200
_MAX_BYTES = 1024 * 1024
_NAMES_NO_DAG = f"no dag can have this name: {DAG_NAME_RULE}"


@dataclass(frozen=True, slots=True)
class Listing:
    """``files`` that may be dags or called, by their paths in the folder; and why some are ``refused``.

    A file may be both: it is there, so its dag is not gone, and the text of before stays.
    """

    files: dict[str, Seen] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def list_files(path: Path) -> Listing:
    """List the files in ``path`` and its folders that end in ``.yaml`` or ``.yml``, without hidden folders and links.

    Raises:
        OSError: ``path`` itself cannot be listed.
    """
    listing = Listing()
    folders = _list(path, "", listing)
    while folders:
        inner = folders.pop()
        try:
            folders += _list(path / inner, f"{inner}/", listing)
        except FileNotFoundError:
            continue
        except OSError as error:
            listing.refused[inner] = reason(error)
    _refuse_twins(listing)
    return listing


def read_data(path: Path) -> bytes:
    """Return what a file holds. Raises ``OSError``, also where it has grown too large since it was listed."""
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise _too_large()
    return data


def reason(error: OSError) -> str:
    """Return why a file is refused, without its path, which is private to the machine."""
    return f"cannot be read: {error.strerror or type(error).__name__}"


def shown(refused: Mapping[str, str]) -> dict[str, str]:
    """Return the refusals that people see, by names that can be displayed and stored.

    In a folder of the folder a name of no dag is no mistake: not all that people keep there is to be called.
    """
    return {_shown(name): why for name, why in refused.items() if why != _NAMES_NO_DAG or "/" not in name}


def _shown(name: str) -> str:
    return (name if name.isprintable() else repr(name)[1:-1])[:_MAX_PATH]


def _list(folder: Path, prefix: str, listing: Listing) -> list[str]:
    """Add the files of one folder; return its folders."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    folders.append(prefix + entry.name)
            elif entry.name.endswith((".yaml", ".yml")):
                _add(entry, prefix + entry.name, listing)
    return folders


def _add(entry: os.DirEntry[str], name: str, listing: Listing) -> None:
    named = valid_dag_name(Path(name).stem) and len(name) <= _MAX_PATH and name.isprintable()
    try:
        status = entry.stat()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        # A broken link is reported, unless it is an editor's lock, whose name is no dag's.
        if named and (entry.is_symlink() or not gone):
            listing.refused[name] = reason(error)
        if named and not gone:
            listing.files[name] = UNREAD
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if not named:
        listing.refused[name] = _NAMES_NO_DAG
        return
    listing.files[name] = (status.st_mtime_ns, status.st_size)
    if status.st_size > _MAX_BYTES:
        listing.refused[name] = reason(_too_large())


def _refuse_twins(listing: Listing) -> None:
    """Refuse ``a.yml`` beside ``a.yaml``: they would be one dag, with the text of the one read last."""
    for name in [each for each in listing.files if each.endswith(".yml")]:
        twin = f"{name.removesuffix('.yml')}.yaml"
        if twin in listing.files:
            del listing.files[name]
            listing.refused[name] = f"passed over for {PurePath(twin).name}"


def _too_large() -> OSError:
    return OSError(errno.EFBIG, "larger than 1 MiB")
