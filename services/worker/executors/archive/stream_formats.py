"""Read and write each archive format: compressed streams, tar and zip. Imported by the archive executor's child.

Python cannot read 7z and rar. The program ``bsdtar`` converts them into a tar stream, so that the same checks decide
where each member may be extracted.
"""

import bz2
import gzip
import importlib
import lzma
import stat
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import IO, Any

from .rar_headers import is_encrypted

__all__ = [
    "CONTAINERS",
    "READ_ONLY",
    "SINGLE",
    "ArchiveError",
    "Exit",
    "drain",
    "kind_of",
    "link_in_zip",
    "open_packed",
    "open_tar",
    "open_zip",
    "pieces",
    "write_zip",
]

SINGLE = frozenset({"gz", "bz2", "xz", "zst", "lz4"})
READ_ONLY = frozenset({"7z", "rar"})
CONTAINERS = frozenset({"zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"}) | READ_ONLY
_MAGIC = (
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x04\x22\x4d\x18", "lz4"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!", "rar"),
)  # fmt: skip
_TAR_MAGIC_AT = 257
_PIECE = 1 << 20
_FIRST_IN_ZIP = 315_619_200
"""1980-01-02 as a Unix time. A zip cannot store times before 1980."""
_ENCRYPTED = 0x1
_AES = 99


class Exit(IntEnum):
    """Exit codes by kind of error, the same as in Dagu."""

    CONFIG = 2
    SOURCE = 3
    DESTINATION = 4
    FORMAT = 5
    EXTRACT = 6
    CREATE = 7
    DECOMPRESS = 9
    PERMISSION = 10
    DISK = 11
    CORRUPT = 12
    PASSWORD = 13


class ArchiveError(Exception):
    """An error with its exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


def kind_of(path: Path) -> str:
    """Return the format of an archive by the file's first bytes; empty if it is unknown."""
    with path.open("rb") as raw:
        head = raw.read(_TAR_MAGIC_AT + 5)
        if head[_TAR_MAGIC_AT:] == b"ustar":
            return "tar"
        kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
        if kind not in SINGLE:
            return kind
        raw.seek(0)
        with open_packed(raw, kind, "r", -1) as packed:
            inner = packed.read(_TAR_MAGIC_AT + 5)
        return f"tar.{kind}" if inner[_TAR_MAGIC_AT:] == b"ustar" and f"tar.{kind}" in CONTAINERS else kind


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a stream in pieces of at most 1 MiB."""
    return iter(lambda: stream.read(_PIECE), b"")


def drain(stream: IO[bytes]) -> int:
    """Read a stream to its end and return the number of bytes."""
    return sum(map(len, pieces(stream)))


@contextmanager
def open_packed(raw: IO[bytes], how: str, mode: str, level: int) -> Iterator[IO[bytes]]:
    """Open a file as a stream that compresses or decompresses. ``level`` -1 is the default level of the format."""
    given = level >= 0 and mode == "w"
    levels = {"compresslevel": level} if level >= 0 else {}
    opened: Any
    if how == "gz":
        opened = gzip.GzipFile(fileobj=raw, mode=mode, **levels)  # type: ignore[call-overload]
    elif how == "bz2":
        opened = bz2.BZ2File(raw, mode, **levels)  # type: ignore[call-overload]
    elif how == "xz":
        opened = lzma.LZMAFile(raw, mode, preset=level if given else None)  # noqa: SIM115 - closed below
    elif how == "zst":
        library = _library("zst", "Python 3.14 or the package backports.zstd", "compression.zstd", "backports.zstd")
        opened = library.ZstdFile(raw, mode, level=level if given else None)
    elif how == "lz4":
        library = _library("lz4", "the package lz4", "lz4.frame")
        opened = library.LZ4FrameFile(raw, mode, **({"compression_level": level} if given else {}))
    else:
        yield raw
        return
    with opened:
        yield opened


def _library(what: str, needed: str, *names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ArchiveError(
        Exit.FORMAT, f"{what} needs {needed} on the worker: pip install '.[archives]' in a clone of Dagway"
    )


@contextmanager
def open_tar(
    path: Path, kind: str, bsdtar: str, counted: Callable[[IO[bytes]], IO[bytes]]
) -> Iterator[tarfile.TarFile]:
    """Open a tar, or a 7z or rar converted into a tar. Its members can be read once, in order.

    ``counted`` wraps the unpacked stream, so that headers and skipped members count against the limits too.
    """
    if kind in READ_ONLY:
        with _converted(path, kind, bsdtar, counted) as tar:
            yield tar
        return
    how = kind.removeprefix("tar").removeprefix(".")
    with (
        path.open("rb") as raw,
        open_packed(raw, how, "r", -1) as stream,
        tarfile.open(fileobj=counted(stream), mode="r|") as tar,
    ):
        yield tar


@contextmanager
def _converted(
    path: Path, kind: str, bsdtar: str, counted: Callable[[IO[bytes]], IO[bytes]]
) -> Iterator[tarfile.TarFile]:
    if not bsdtar:
        raise ArchiveError(Exit.FORMAT, f"{kind} needs the program bsdtar on the worker (package libarchive-tools)")
    if kind == "rar" and is_encrypted(path):
        raise _locked(kind)
    # -P: keep a leading slash, so that our checks see it.
    words = [bsdtar, "-c", "-P", "-f", "-", "--format", "pax", f"@{path}"]
    environment = {"LC_ALL": "C.UTF-8"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE
        assert process.stderr is not None  # noqa: S101
        try:
            with tarfile.open(fileobj=counted(process.stdout), mode="r|") as tar:
                yield tar
            # Read what bsdtar writes after the end of the tar, so that it can end.
            while process.stdout.read(1 << 16):
                pass
        except (tarfile.ReadError, EOFError):
            # bsdtar stopped in the middle; its stderr says why.
            process.kill()
        stderr = process.stderr.read(4096).decode(errors="replace").strip()
    if process.returncode != 0:
        # bsdtar says only when extracting that the reason is encryption.
        words = [bsdtar, "-x", "-O", "-f", str(path)]
        why = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, check=False)
        if b"encrypted" in why.stderr:
            raise _locked(kind)
        raise ArchiveError(Exit.CORRUPT, f"{kind} archive: {stderr or 'bsdtar cannot read it'}")


def _locked(kind: str) -> ArchiveError:
    return ArchiveError(Exit.PASSWORD, f"encrypted {kind} archives are not supported, not even with a password")


@contextmanager
def open_zip(path: Path, password: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading, unencrypted or with either kind of encryption (classic or AES)."""
    with zipfile.ZipFile(path) as archive:
        locked = any(info.flag_bits & _ENCRYPTED for info in archive.infolist())
        strong = any(info.compress_type == _AES for info in archive.infolist())
        if locked and not password:
            raise ArchiveError(Exit.PASSWORD, "the archive is encrypted: config.password is required")
        if not strong:
            if password:
                archive.setpassword(password.encode())
            yield archive
            return
    with _pyzipper().AESZipFile(path) as archive:
        archive.setpassword(password.encode())
        yield archive


def write_zip(raw: IO[bytes], level: int | None, password: str) -> Any:
    """Open a zip for writing. With a password, its members are encrypted by AES-256."""
    if not password:
        return zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=level, strict_timestamps=False)
    library = _pyzipper()
    archive = library.AESZipFile(
        raw, "w", compression=library.ZIP_DEFLATED, compresslevel=level, strict_timestamps=False
    )
    archive.setpassword(password.encode())
    archive.setencryption(library.WZ_AES, nbits=256)
    return archive


def link_in_zip(archive: Any, name: str, path: Path) -> Any:
    """Return the entry for a symbolic link, of the class that the library of ``archive`` requires."""
    when = time.localtime(max(path.lstat().st_mtime, _FIRST_IN_ZIP))[:6]
    entry: Any = zipfile.ZipInfo if type(archive) is zipfile.ZipFile else archive.zipinfo_cls
    info = entry(name, when)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def _pyzipper() -> Any:
    return _library("a zip encrypted by AES", "the package pyzipper", "pyzipper")
