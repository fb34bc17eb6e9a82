"""The archive executor's child process. It runs as a script and imports only modules of this folder.

There are two kinds of formats: containers with members (zip, and every format that ``stream_formats`` reads as a tar),
and single compressed files. A member that would be extracted outside the destination, by its path or through a link, is
an error. The names of members begin with the name of the packed folder. Folders and links count as members when an
archive is created or listed.
"""

import errno
import gzip
import importlib
import json
import lzma
import os
import resource
import shutil
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import IO, Any

if __name__ == "__main__":
    # Begin again in a package that is this folder alone: to import that of all executors takes too long.
    package = sys.modules["archive_child"] = ModuleType("archive_child")
    package.__path__ = [str(Path(__file__).parent)]
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(importlib.import_module("archive_child.child").main())

from . import stream_formats as streams
from .extraction import extract
from .order import Order

__all__ = ["main"]

Exit, ArchiveError = streams.Exit, streams.ArchiveError

_PIECE = 1 << 20
_MEMORY_BYTES = 2 << 30
"""Address space for reading an archive: headers can claim any size too."""
_LAST = ("verified", "duration", "errors", "verifyPerformed")


def _members(order: Order) -> Iterator[tuple[Path, str]]:
    """Yield each path to add and its name in the archive. A folder comes before its contents."""
    source = order.source
    paths = [source]
    if source.is_dir():
        for folder, folders, files in os.walk(source, followlinks=order.flag("followSymlinks")):
            paths += [Path(folder, name) for name in (*folders, *files)]
    for path in sorted(paths, key=lambda each: each.parts):
        name = path.relative_to(source.parent).as_posix()
        if order.wanted(name) and (path.is_dir() or path.is_file() or path.is_symlink()):
            yield path, name


def _create(order: Order) -> dict[str, Any]:
    if order.destination is None and not order.flag("dryRun"):
        raise ArchiveError(Exit.CONFIG, "destination is required")
    kind = order.format(order.destination or order.source)
    members = list(_members(order))
    if order.destination is not None:
        members = [(path, name) for path, name in members if path != order.destination]
    files = [path for path, _ in members if path.is_file()]
    follow = order.flag("followSymlinks")
    sizes = [(path.stat() if follow else path.lstat()).st_size for path, _ in members]
    result = {"filesAdded": len(members), "bytesArchived": sum(sizes)}
    if order.flag("dryRun") or order.destination is None:
        return {**result, "verifyPerformed": False}
    if kind in streams.READ_ONLY:
        raise ArchiveError(Exit.FORMAT, f"{kind} archives can be read, but not created")
    if order.password and kind != "zip":
        raise ArchiveError(Exit.CONFIG, f"password: only zip archives can be encrypted, not {kind}")
    if kind in streams.SINGLE and len(files) != 1:
        raise ArchiveError(
            Exit.CREATE, f"{kind} compresses exactly one file, but source has {len(files)}: use tar.gz or zip"
        )
    part = Path(order.raw["part"])
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("w+b") as raw:
        if kind == "zip":
            _write_zip(order, raw, members)
        elif kind in streams.SINGLE:
            with streams.open_packed(raw, kind, "w", order.level) as packed, files[0].open("rb") as file:
                shutil.copyfileobj(file, packed, _PIECE)
        else:
            with (
                streams.open_packed(raw, kind.removeprefix("tar").removeprefix("."), "w", order.level) as packed,
                tarfile.open(fileobj=packed, mode="w|", dereference=order.flag("followSymlinks")) as tar,
            ):
                for path, name in members:
                    tar.add(path, name, recursive=False)
    if order.flag("verifyIntegrity"):
        _verify(order, part, kind)
    part.replace(order.destination)
    return {**result, "verifyPerformed": order.flag("verifyIntegrity")}


def _write_zip(order: Order, raw: IO[bytes], members: list[tuple[Path, str]]) -> None:
    level = None if order.level < 0 else order.level
    with streams.write_zip(raw, level, order.password) as archive:
        for path, name in members:
            if path.is_symlink() and not order.flag("followSymlinks"):
                archive.writestr(streams.link_in_zip(archive, name, path), str(path.readlink()))
            else:
                archive.write(path, name)


def _verify(order: Order, path: Path, kind: str) -> None:
    """Read the whole archive once. Raises an error if it is damaged or exceeds a limit."""
    budget = order.budget(path)
    if kind == "zip":
        with streams.open_zip(path, order.password) as archive:
            for info in archive.infolist():
                budget.entry()
                with archive.open(info) as member:
                    streams.drain(budget.counted(member))
    elif kind in streams.SINGLE:
        with path.open("rb") as raw, streams.open_packed(raw, kind, "r", -1) as packed:
            streams.drain(budget.counted(packed))
    else:
        with streams.open_tar(path, kind, order.bsdtar, budget.counted) as tar:
            for _ in tar:
                budget.entry()


def _extract(order: Order) -> dict[str, Any]:
    kind = order.format(order.source)
    if verified := order.flag("verifyIntegrity"):
        _verify(order, order.source, kind)
    return {**extract(order, kind), "verifyPerformed": verified}


def _list(order: Order) -> dict[str, Any]:
    kind = order.format(order.source)
    files: list[dict[str, Any]] = []
    budget = order.budget(order.source)

    def add(path: str, size: int, mode: int, at: datetime, is_dir: bool) -> None:
        budget.entry()
        path = PurePosixPath(path).as_posix()
        if path != "." and order.wanted(path):
            # The letter for a link is an upper case L, as Go prints it.
            rights = stat.filemode(mode).replace("l", "L", 1) if stat.S_ISLNK(mode) else stat.filemode(mode)
            shown = {"path": path, "size": size, "mode": rights, "modTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
            files.append({**shown, "isDir": is_dir})

    if kind == "zip":
        with zipfile.ZipFile(order.source) as archive:
            for info in archive.infolist():
                mode = info.external_attr >> 16
                add(info.filename, info.file_size, mode, _time_in_zip(*info.date_time), info.is_dir())
    elif kind in streams.SINGLE:
        facts = order.source.stat()
        with order.source.open("rb") as raw, streams.open_packed(raw, kind, "r", -1) as packed:
            size = streams.drain(budget.counted(packed))
        name = order.source.name.removesuffix(f".{kind}")
        add(name, size, facts.st_mode, datetime.fromtimestamp(facts.st_mtime, UTC), False)
    else:
        with streams.open_tar(order.source, kind, order.bsdtar, budget.counted) as tar:
            for member in tar:
                at = _time_in_tar(member.mtime)
                kind_bits = stat.S_IFDIR if member.isdir() else stat.S_IFLNK if member.issym() else stat.S_IFREG
                add(member.name, member.size, member.mode | kind_bits, at, member.isdir())
    if verified := order.flag("verifyIntegrity"):
        _verify(order, order.source, kind)
    files.sort(key=lambda one: one["path"])
    total = {"totalFiles": len(files), "totalSize": sum(one["size"] for one in files)}
    return {**total, "files": files, "verified": verified}


def _time_in_zip(year: int, month: int, day: int, *clock: int) -> datetime:
    """Return a time as Go reads it. Programs that store no time write month 0 and day 0, which is 1979-11-30."""
    hours, minutes, seconds = clock
    years, months = divmod(month - 1, 12)
    first = datetime(year + years, months + 1, 1, tzinfo=UTC)
    return first + timedelta(days=day - 1, hours=hours, minutes=minutes, seconds=seconds)


def _time_in_tar(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # before year 1, after year 9999, or no number
        return datetime.fromtimestamp(0, UTC)


def _do(order: Order) -> dict[str, Any]:
    if not order.source.exists():
        raise ArchiveError(Exit.SOURCE, f"source not found: {order.source}")
    return {"create": _create, "extract": _extract, "list": _list}[order.operation](order)


def _code_of(error: Exception, operation: str) -> int:
    if isinstance(error, ArchiveError):
        return error.code
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return Exit.PERMISSION
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Exit.DISK
    if isinstance(error, RuntimeError) and "password" in str(error).lower():
        return Exit.PASSWORD
    if isinstance(error, tarfile.FilterError):
        return Exit.EXTRACT
    if isinstance(error, zipfile.BadZipFile | tarfile.TarError | lzma.LZMAError | EOFError | zlib.error):
        return Exit.CORRUPT
    if isinstance(error, gzip.BadGzipFile) or "zstd" in type(error).__name__.lower() or "LZ4F" in str(error):
        return Exit.CORRUPT
    return {"create": Exit.CREATE, "extract": Exit.EXTRACT}.get(operation, Exit.DECOMPRESS)


def main() -> int:
    """Read the order from standard input, run it, print one JSON result and return the exit code."""
    raw = json.load(sys.stdin)
    began = time.monotonic()
    try:
        order = Order(raw)
        if order.operation != "create":
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            limit = _MEMORY_BYTES if most == resource.RLIM_INFINITY else min(_MEMORY_BYTES, most)
            # macOS refuses a limit below the hundreds of GiB that a process has mapped there.
            with suppress(ValueError):
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        result = _do(order)
    except MemoryError:
        sys.stderr.write(f"refused: reading the archive needs more than {_MEMORY_BYTES >> 30} GiB of memory\n")
        return Exit.EXTRACT
    except Exception as error:  # noqa: BLE001 - each kind of error has its exit code
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
        return _code_of(error, raw["operation"])
    paths = {"operation": order.operation, "source": order.written["source"]}
    if order.operation != "list":
        paths["destination"] = order.written["destination"]
    result["duration"] = f"{(time.monotonic() - began) * 1000:.3f}ms"
    result = {**paths, **{name: result[name] for name in sorted(result, key=_rank)}}
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


def _rank(name: str) -> int:
    """Return the sort key of a field: the fields in ``_LAST`` are printed last."""
    return _LAST.index(name) if name in _LAST else -1
