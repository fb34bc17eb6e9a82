"""Write the members of an archive beneath one folder. Imported by the archive executor's child.

A path is never resolved as text: each folder of it is opened relative to the one before and without following links,
so neither a link in the archive nor one that was there before can lead a member out of the destination.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from .stream_formats import ArchiveError, Exit

__all__ = ["Destination"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 256
"""Folders within folders. Many programs cannot remove a tree that is much deeper."""


class Destination:
    """A folder to extract into. ``place`` is a member's path relative to it, of names only.

    The path of the folder itself may contain links: the author of the workflow chose it.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._overwrite = overwrite

    def add_folder(self, place: str, mode: int) -> None:
        """Create a folder, or set the mode of an existing one.

        It is always writable, whatever its mode in the archive, since later members are extracted into it.
        """
        with self._opened(PurePosixPath(place).parts, place) as folder:
            os.fchmod(folder, mode & 0o777 | 0o700)

    def add_file(self, place: str, pieces: Iterable[bytes], mode: int | None, modified_at: float | None = None) -> int:
        """Write a file and return its size in bytes. A file that cannot be completed is removed."""
        with self._parent(place) as (folder, name):
            file = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
            try:
                with os.fdopen(file, "wb") as stream:
                    size = sum(stream.write(piece) for piece in pieces)
                    stream.flush()
                    if mode is not None:
                        os.fchmod(file, mode & 0o777)
                    if modified_at is not None:
                        with suppress(OSError, OverflowError, ValueError):  # a time that the file system cannot store
                            os.utime(file, (modified_at, modified_at))
            except BaseException:
                os.unlink(name, dir_fd=folder)
                raise
        return size

    def add_symlink(self, place: str, target: str) -> None:
        """Create a symbolic link whose target is beneath the destination.

        ``..`` may only stand at the target's beginning. There it is exact, since the link's own folder was reached
        without following links; after a name, that name could itself be a link.
        """
        names = PurePosixPath(target).parts
        up = next((at for at, name in enumerate(names) if name != ".."), len(names))
        depth = len(PurePosixPath(place).parts) - 1
        if not names or target.startswith("/") or up > depth or ".." in names[up:]:
            raise _outside(place, f"it is a link to {target!r}")
        with self._parent(place) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def add_hard_link(self, place: str, existing: str) -> None:
        """Give the regular file at ``existing`` a second name."""
        with self._opened(PurePosixPath(existing).parts[:-1], place, create=False) as source:
            name = PurePosixPath(existing).name
            try:
                found = os.stat(name, dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                raise ArchiveError(
                    Exit.EXTRACT, f"{place!r} is a hard link to {existing!r}, which was not extracted"
                ) from None
            if not stat.S_ISREG(found.st_mode):
                raise _outside(place, f"it is a hard link to {existing!r}, which is not a regular file")
            with self._parent(place) as (folder, link):
                os.link(name, link, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def _parent(self, place: str) -> Iterator[tuple[int, str]]:
        """Open the folder of a new member, create it if it is missing, and make room for the member's name."""
        *folders, name = PurePosixPath(place).parts
        with self._opened(folders, place) as folder:
            self._make_room(folder, name, place)
            yield folder, name

    def _make_room(self, folder: int, name: str, place: str) -> None:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise ArchiveError(Exit.DESTINATION, f"{place} exists and is a folder")
        if not self._overwrite:
            raise ArchiveError(Exit.DESTINATION, f"{place} exists: set overwrite: true to replace it")
        os.unlink(name, dir_fd=folder)

    @contextmanager
    def _opened(self, folders: Iterable[str], place: str, *, create: bool = True) -> Iterator[int]:
        folders = tuple(folders)
        if len(folders) > _MAX_DEPTH:
            raise ArchiveError(Exit.EXTRACT, f"refused member {place[:80]!r}: more than {_MAX_DEPTH} folders deep")
        current = os.dup(self._root)
        try:
            for name in folders:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=current)
                below = _open_folder(name, current, place)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)


def _open_folder(name: str, parent: int, place: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        raise ArchiveError(Exit.EXTRACT, f"{place!r} needs the folder {name!r}, which was not extracted") from None
    except OSError:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise _outside(place, f"its folder {name!r} is a link") from None
        if not stat.S_ISDIR(found.st_mode):
            raise ArchiveError(Exit.DESTINATION, f"{place!r} needs the folder {name!r}, but that is a file") from None
        raise


def _outside(place: str, why: str) -> ArchiveError:
    return ArchiveError(Exit.EXTRACT, f"refused member {place!r}: {why}, and could lead outside the destination")
