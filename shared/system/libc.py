"""The C library, for calls that Python does not offer."""

import ctypes
from functools import lru_cache

__all__ = ["has", "libc", "prctl"]


@lru_cache
def libc() -> ctypes.CDLL:
    """Return the C library of this process. ``ctypes.get_errno`` has the error of a call."""
    return ctypes.CDLL(None, use_errno=True)


def has(name: str) -> bool:
    """Whether the C library has this function."""
    return hasattr(libc(), name)


def prctl(option: int, value: int) -> bool:
    """Change this process by ``prctl``; return ``False`` if this system does not have it. Raises ``OSError``."""
    if not has("prctl"):
        return False
    if libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
    return True
