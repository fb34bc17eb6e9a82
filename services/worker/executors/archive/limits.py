"""Limits on what one archive may contain. Imported by the archive executor's child.

The sizes in an archive's headers are claims, so only bytes that were really read or written count.
"""

import sys
from dataclasses import dataclass
from typing import IO, cast

from .stream_formats import ArchiveError, Exit

__all__ = ["UNLIMITED", "Budget", "Limits"]

_RATIO_FROM_BYTES = 64 << 20
"""Below this size a high ratio does no harm: a small file of zeros compresses a thousandfold."""


@dataclass(frozen=True)
class Limits:
    """The limits of one step, from its config."""

    max_bytes: int
    max_entries: int
    max_ratio: int


UNLIMITED = Limits(sys.maxsize, sys.maxsize, sys.maxsize)


class _Counted:
    def __init__(self, stream: IO[bytes], budget: "Budget") -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int = -1, /) -> bytes:
        return self._budget.spend(self._stream.read(size))


class Budget:
    """What is left of the limits for one pass over one archive. Exceeding one raises ``ArchiveError``.

    ``packed`` is the size of the archive file in bytes.
    """

    def __init__(self, limits: Limits, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._bytes = self._entries = 0

    def entry(self) -> None:
        """Count one member."""
        self._entries += 1
        if self._entries > self._limits.max_entries:
            raise ArchiveError(
                Exit.EXTRACT,
                f"refused: the archive has more than {self._limits.max_entries} members: "
                "set maxEntries to the number that you expect",
            )

    def counted(self, stream: IO[bytes]) -> IO[bytes]:
        """Return ``stream`` for reading only, with each byte counted."""
        return cast("IO[bytes]", _Counted(stream, self))

    def spend(self, data: bytes) -> bytes:
        """Count unpacked bytes, and return them."""
        self._bytes += len(data)
        if self._bytes > self._limits.max_bytes:
            raise ArchiveError(
                Exit.EXTRACT,
                f"refused: the archive unpacks to more than {self._limits.max_bytes} bytes: "
                "set maxBytes to the size that you expect",
            )
        if self._bytes > max(_RATIO_FROM_BYTES, self._packed * self._limits.max_ratio):
            raise ArchiveError(
                Exit.EXTRACT,
                f"refused: the archive unpacks to more than {self._limits.max_ratio} times its size: "
                "set maxRatio to the ratio that you expect",
            )
        return data
