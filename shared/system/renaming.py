"""Rename files by a flag that only Linux has."""

import ctypes
import errno
import os
from functools import lru_cache
from pathlib import Path

from shared.system.libc import has, libc

__all__ = ["EXCHANGE", "NO_REPLACE", "renamed"]

_AT_FDCWD = -100
NO_REPLACE, EXCHANGE = 1, 2
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


def renamed(path: Path, target: Path, flags: int) -> bool:
    """Rename with flags; return ``False`` if this system or file system cannot. Raises ``OSError``."""
    if not _ready():
        return False
    if libc().renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(target))


@lru_cache
def _ready() -> bool:
    if not has("renameat2"):
        return False
    libc().renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return True
