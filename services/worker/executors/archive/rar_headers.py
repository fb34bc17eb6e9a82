"""Tell by its headers whether a rar archive is encrypted.

Needed because ``bsdtar`` reports success for an encrypted member that was stored without compression, and returns its
ciphertext. Standard library only, since the archive executor's child imports it.
Source: the published descriptions of RAR 4 and RAR 5 headers.
"""

import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["is_encrypted"]

_MARK_4, _MARK_5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
_MAIN_4, _FILE_4 = 0x73, 0x74
_HEADERS_LOCKED_4, _LOCKED_4, _LARGE_4, _DATA_4 = 0x0080, 0x0004, 0x0100, 0x8000
_FILE_5, _SERVICE_5, _CRYPT_5 = 2, 3, 4
_EXTRA_5, _DATA_5 = 1, 2
_CRYPT_RECORD_5 = 1
_MOST = 2 * 1024 * 1024
"""More than any header's size, in bytes."""


def is_encrypted(path: Path) -> bool:
    """Whether a rar archive is encrypted; ``False`` if its headers cannot be parsed (reading it then fails anyway)."""
    with path.open("rb") as file:
        try:
            if file.read(len(_MARK_4)) == _MARK_4:
                return _any_4(file)
            file.seek(0)
            return file.read(len(_MARK_5)) == _MARK_5 and _any_5(file)
        except (struct.error, IndexError):
            return False


def _any_4(file: BinaryIO) -> bool:
    while True:
        at = file.tell()
        _, kind, flags, size = struct.unpack("<HBHH", file.read(7))
        rest = file.read(max(size - 7, 0))
        if (kind == _MAIN_4 and flags & _HEADERS_LOCKED_4) or (kind == _FILE_4 and flags & _LOCKED_4):
            return True
        data = struct.unpack_from("<I", rest)[0] if flags & _DATA_4 else 0
        if kind == _FILE_4 and flags & _LARGE_4:
            data += struct.unpack_from("<I", rest, 25)[0] << 32
        file.seek(at + max(size, 7) + data)


def _any_5(file: BinaryIO) -> bool:
    while file.read(4):
        size = 0
        for shift in range(0, 21, 7):
            byte = file.read(1)[0]
            size |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        header = file.read(min(size, _MOST))
        end = file.tell()
        kind, at = _number(header, 0)
        flags, at = _number(header, at)
        extra, at = _number(header, at) if flags & _EXTRA_5 else (0, at)
        data, at = _number(header, at) if flags & _DATA_5 else (0, at)
        if kind == _CRYPT_5 or (kind in (_FILE_5, _SERVICE_5) and _CRYPT_RECORD_5 in _records(header[-extra:], extra)):
            return True
        file.seek(end + data)
    return False


def _records(area: bytes, size: int) -> set[int]:
    """Return the kinds of the records in a header's last ``size`` bytes."""
    kinds, at = set(), 0
    while at < size:
        length, at = _number(area, at)
        kind, _ = _number(area, at)
        kinds.add(kind)
        at += max(length, 1)
    return kinds


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at ``at``, encoded in seven bits per byte, and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
