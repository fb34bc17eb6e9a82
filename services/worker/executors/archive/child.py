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
import shutil
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from services.worker.executors.archive import entry_names as names
    from services.worker.executors.archive import stream_formats as streams
else:
    # Running as a script. Appended, not inserted: a module of this folder must not hide one of the standard library.
    sys.path.append(str(Path(__file__).parent))
    names = importlib.import_module("entry_names")
    streams = importlib.import_module("stream_formats")

__all__ = ["main"]

Exit, ArchiveError = streams.Exit, streams.ArchiveError

_ENDINGS = (
    (".tar.gz", "tar.gz"), (".tgz", "tar.gz"), (".tar.bz2", "tar.bz2"), (".tbz2", "tar.bz2"), (".tar.xz", "tar.xz"),
    (".txz", "tar.xz"), (".tar.zst", "tar.zst"), (".tzst", "tar.zst"), (".tar", "tar"), (".zip", "zip"), (".gz", "gz"),
    (".bz2", "bz2"), (".xz", "xz"), (".zst", "zst"), (".lz4", "lz4"), (".7z", "7z"), (".rar", "rar"),
)  # fmt: skip
_PIECE = 1 << 20
_LAST = ("verified", "duration", "errors", "verifyPerformed")


class Order:
    """The order from the executor: the step's config, with the default of each option."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.operation: str = raw["operation"]
        self.source = Path(raw["source"])
        self.destination = Path(raw["destination"]) if raw.get("destination") else None
        self.level = self._number("compressionLevel", -1)
        self.password: str = str(raw.get("password") or "")
        self.bsdtar: str = raw.get("bsdtar") or ""
        self.strip = self._number("stripComponents", 0)
        self.include, self.exclude = (
            [value] if isinstance(value := raw.get(name) or [], str) else list(value) for name in ("include", "exclude")
        )

    def _number(self, name: str, default: int) -> int:
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError) as error:
            raise ArchiveError(Exit.CONFIG, f"{name} must be a whole number, not {self.raw[name]!r}") from error

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.raw.get(name, default)
        return value if isinstance(value, bool) else str(value).lower() == "true"

    def format(self, path: Path) -> str:
        """Return the archive's format: ``format`` of the config, else by the file's name, else by its first bytes."""
        found = str(self.raw.get("format") or "")
        found = found or next((name for ending, name in _ENDINGS if path.name.lower().endswith(ending)), "")
        if not found and self.operation != "create":
            found = streams.kind_of(path)
        if found not in streams.CONTAINERS | streams.SINGLE:
            raise ArchiveError(
                Exit.FORMAT, f"unsupported archive format: {found or path.name}: set format to a supported one"
            )
        return found

    def wanted(self, name: str) -> bool:

        def hit(patterns: list[str]) -> bool:
            return any(names.matches(one, name) for one in patterns)

        return (not self.include or hit(self.include)) and not hit(self.exclude)

    def placed(self, name: str) -> str:
        """Return the path to extract a member to, relative to the destination; empty if it is not to be extracted."""
        parts = PurePosixPath(name).parts
        if name.startswith(("/", "\\")) or ".." in parts or "\0" in name:
            raise ArchiveError(Exit.EXTRACT, f"refused member {name!r}: it would be extracted outside the destination")
        parts = parts[self.strip :]
        if parts and not self.flag("preservePaths", True):
            parts = parts[-1:]
        return "/".join(parts)


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
    """Read the whole archive once. Raises an error if it is damaged."""
    if kind == "zip":
        with streams.open_zip(path, order.password) as archive:
            if (bad := archive.testzip()) is not None:
                raise ArchiveError(Exit.CORRUPT, f"corrupted archive: the checksum of {bad} is wrong")
    elif kind in streams.SINGLE:
        with path.open("rb") as raw, streams.open_packed(raw, kind, "r", -1) as packed:
            while packed.read(_PIECE):
                pass
    else:
        with streams.open_tar(path, kind, order.bsdtar) as tar:
            for _ in tar:
                pass


def _extract(order: Order) -> dict[str, Any]:
    kind = order.format(order.source)
    target = order.destination or order.source.parent
    done = {"filesExtracted": 0, "bytesExtracted": 0, "filesSkipped": 0}
    errors: list[str] = []
    dry = order.flag("dryRun")
    if verified := order.flag("verifyIntegrity"):
        _verify(order, order.source, kind)
    if not dry:
        target.mkdir(parents=True, exist_ok=True)
    root = target.resolve()

    def take(name: str, size: int, put: Any, folder_mode: int | None = None) -> None:
        """Extract one member if ``include`` and ``exclude`` admit it. ``put`` writes the file.

        With ``folder_mode`` the member is a folder, which is created but not counted.
        """
        place = order.placed(name)
        if not PurePosixPath(name).parts or (not place and folder_mode is not None):
            return
        if not place or not order.wanted(PurePosixPath(name).as_posix()):
            done["filesSkipped"] += 1
            return
        path = root / place
        if not path.parent.resolve().is_relative_to(root):
            raise ArchiveError(Exit.EXTRACT, f"refused member {name!r}: it would be extracted outside the destination")
        if folder_mode is not None:
            if not dry:
                path.mkdir(parents=True, exist_ok=True)
                if not path.is_symlink():
                    # Always writable, whatever its mode in the archive, since later members are extracted into it.
                    path.chmod(folder_mode & 0o777 | 0o700)
            return
        try:
            if not dry:
                if path.is_symlink() or path.is_file():
                    if not order.flag("overwrite"):
                        raise ArchiveError(Exit.DESTINATION, f"{path} exists: set overwrite: true to replace it")
                    path.unlink()
                put(path)
        except (OSError, ArchiveError) as error:
            if not order.flag("continueOnError") or getattr(error, "code", 0) == Exit.EXTRACT:
                raise
            errors.append(f"{name}: {error}")
            return
        done["filesExtracted"] += 1
        done["bytesExtracted"] += size

    if kind in streams.SINGLE:
        name = order.source.name.removesuffix(f".{kind}")
        with order.source.open("rb") as raw, streams.open_packed(raw, kind, "r", -1) as packed:

            def put_single(path: Path) -> None:
                with path.open("wb") as file:
                    shutil.copyfileobj(packed, file, _PIECE)
                done["bytesExtracted"] += path.stat().st_size

            take(name, 0, put_single)
    elif kind == "zip":
        _extract_zip(order, take, root)
    else:
        _extract_tar(order, kind, take, root)
    return {**done, **({"errors": errors} if errors else {}), "verifyPerformed": verified}


def _extract_zip(order: Order, take: Any, root: Path) -> None:
    with streams.open_zip(order.source, order.password) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                take(info.filename, 0, None, mode or 0o755)
                continue

            def put(path: Path, info: zipfile.ZipInfo = info, mode: int = mode) -> None:
                path.parent.mkdir(parents=True, exist_ok=True)
                if stat.S_ISLNK(mode):
                    link = archive.read(info).decode()
                    if Path(link).is_absolute() or not (path.parent / link).resolve().is_relative_to(root):
                        raise ArchiveError(
                            Exit.EXTRACT, f"refused: the link {info.filename!r} points outside the destination"
                        )
                    path.symlink_to(link)
                    return
                with archive.open(info) as member, path.open("wb") as file:
                    shutil.copyfileobj(member, file, _PIECE)
                if mode & 0o777:
                    path.chmod(mode & 0o777)

            take(info.filename, info.file_size, put)


def _extract_tar(order: Order, kind: str, take: Any, root: Path) -> None:
    with streams.open_tar(order.source, kind, order.bsdtar) as tar:
        for member in tar:
            if member.isdir():
                take(member.name, 0, None, member.mode)
                continue

            def put(path: Path, member: tarfile.TarInfo = member) -> None:
                path.parent.mkdir(parents=True, exist_ok=True)
                # The filter refuses devices, absolute names and links that point outside the destination.
                safe = tarfile.data_filter(member.replace(name=path.relative_to(root).as_posix()), str(root))
                tar.extract(safe, root, filter="fully_trusted")

            take(member.name, member.size, put)


def _list(order: Order) -> dict[str, Any]:
    kind = order.format(order.source)
    files: list[dict[str, Any]] = []

    def add(path: str, size: int, mode: int, at: datetime, is_dir: bool) -> None:
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
                add(info.filename, info.file_size, mode, datetime(*info.date_time, tzinfo=UTC), info.is_dir())
    elif kind in streams.SINGLE:
        facts = order.source.stat()
        with order.source.open("rb") as raw, streams.open_packed(raw, kind, "r", -1) as packed:
            size = sum(map(len, iter(lambda: packed.read(_PIECE), b"")))
        name = order.source.name.removesuffix(f".{kind}")
        add(name, size, facts.st_mode, datetime.fromtimestamp(facts.st_mtime, UTC), False)
    else:
        with streams.open_tar(order.source, kind, order.bsdtar) as tar:
            for member in tar:
                at = datetime.fromtimestamp(member.mtime, UTC)
                kind_bits = stat.S_IFDIR if member.isdir() else stat.S_IFLNK if member.issym() else stat.S_IFREG
                add(member.name, member.size, member.mode | kind_bits, at, member.isdir())
    if verified := order.flag("verifyIntegrity"):
        _verify(order, order.source, kind)
    files.sort(key=lambda one: one["path"])
    total = {"totalFiles": len(files), "totalSize": sum(one["size"] for one in files)}
    return {**total, "files": files, "verified": verified}


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
        result = _do(order)
    except (Exception, RecursionError) as error:  # noqa: BLE001 - each kind of error has its exit code
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
        return _code_of(error, raw["operation"])
    places = {"operation": order.operation, "source": str(order.source)}
    if order.operation != "list":
        places["destination"] = str(order.destination or "")
    result["duration"] = f"{(time.monotonic() - began) * 1000:.3f}ms"
    result = {**places, **{name: result[name] for name in sorted(result, key=_rank)}}
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


def _rank(name: str) -> int:
    """Return the sort key of a field: the fields in ``_LAST`` are printed last."""
    return _LAST.index(name) if name in _LAST else -1


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
