"""Extract an archive: which members, where to, and within which limits. Imported by the archive executor's child."""

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from .destination import Destination
from .order import Order
from .stream_formats import SINGLE, ArchiveError, Exit, open_packed, open_tar, open_zip, pieces

__all__ = ["extract"]

_LONGEST_LINK = 4096

Put = Callable[[Destination, str], int]
"""Writes one member to its place in the destination, and returns its size in bytes."""


class _Extraction:
    """Takes the members of one archive, and counts them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.budget = order.budget(order.source)
        self.done = {"filesExtracted": 0, "bytesExtracted": 0, "filesSkipped": 0}
        self.errors: list[str] = []
        folder = order.destination or order.source.parent
        self._into = None if order.flag("dryRun") else Destination(folder, overwrite=order.flag("overwrite"))

    def take_folder(self, name: str, mode: int) -> None:
        """Create a folder of the archive if ``include`` and ``exclude`` admit it. Folders are not counted as files."""
        self.budget.entry()
        place = self.order.placed(name)
        if not place:
            return
        if not self.order.wanted(PurePosixPath(name).as_posix()):
            self.done["filesSkipped"] += 1
        elif self._into is not None:
            self._into.add_folder(place, mode)

    def take(self, name: str, size: int, put: Put) -> None:
        """Extract one member if ``include`` and ``exclude`` admit it. ``size`` is what its header claims."""
        self.budget.entry()
        place = self.order.placed(name)
        if not PurePosixPath(name).parts:
            return
        if not place or not self.order.wanted(PurePosixPath(name).as_posix()):
            self.done["filesSkipped"] += 1
            return
        try:
            written = size if self._into is None else put(self._into, place)
        except (OSError, ArchiveError) as error:
            if not self.order.flag("continueOnError") or getattr(error, "code", 0) == Exit.EXTRACT:
                raise
            self.errors.append(f"{name}: {error}")
            return
        self.done["filesExtracted"] += 1
        self.done["bytesExtracted"] += written


def extract(order: Order, kind: str) -> dict[str, Any]:
    """Extract the archive. Returns the numbers for the step's result."""
    extraction = _Extraction(order)
    if kind in SINGLE:
        with order.source.open("rb") as raw, open_packed(raw, kind, "r", -1) as packed:
            data = pieces(extraction.budget.counted(packed))
            name = order.source.name.removesuffix(f".{kind}")
            extraction.take(name, 0, lambda into, place: into.add_file(place, data, None))
    elif kind == "zip":
        _extract_zip(extraction)
    else:
        _extract_tar(extraction, kind)
    return {**extraction.done, **({"errors": extraction.errors} if extraction.errors else {})}


def _extract_zip(extraction: _Extraction) -> None:
    with open_zip(extraction.order.source, extraction.order.password) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                extraction.take_folder(info.filename, mode or 0o755)
                continue

            def put(into: Destination, place: str, info: zipfile.ZipInfo = info, mode: int = mode) -> int:
                with archive.open(info) as member:
                    data = extraction.budget.counted(member)
                    if stat.S_ISLNK(mode):
                        into.add_symlink(place, os.fsdecode(data.read(_LONGEST_LINK)))
                        return info.file_size
                    return into.add_file(place, pieces(data), mode & 0o777 or None)

            extraction.take(info.filename, info.file_size, put)


def _extract_tar(extraction: _Extraction, kind: str) -> None:
    order = extraction.order
    # The members of a sparse file are larger than what the stream contains, so written bytes are counted once more.
    written = order.budget(order.source)
    with open_tar(order.source, kind, order.bsdtar, extraction.budget.counted) as tar:
        for member in tar:
            if member.isdir():
                extraction.take_folder(member.name, member.mode)
                continue

            def put(into: Destination, place: str, member: tarfile.TarInfo = member) -> int:
                if member.issym():
                    into.add_symlink(place, member.linkname)
                elif member.islnk():
                    into.add_hard_link(place, order.placed(member.linkname))
                elif (file := tar.extractfile(member) if member.isreg() else None) is not None:
                    # Writable by others is never kept. Executable for others only if it is for the owner.
                    mode = member.mode & (0o755 if member.mode & 0o100 else 0o644) | 0o600
                    return into.add_file(place, pieces(written.counted(file)), mode, member.mtime)
                else:
                    raise ArchiveError(Exit.EXTRACT, f"refused member {member.name!r}: it is a device or a pipe")
                return 0

            extraction.take(member.name, member.size, put)
