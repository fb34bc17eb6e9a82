"""Read a file of a step without its holes.

A step can make its log as long as it likes with ``truncate``, without writing anything. The holes of such a file take
no room on the disk, but would be sent, stored and shown as endless zero bytes.
"""

import errno
import os

__all__ = ["bytes_on_disk", "has_holes", "read_data"]

_LONG = bytes(4096)
"""Only where a file has as many zero bytes as this, it is asked for holes: other output costs no further call."""
_BLOCK_BYTES = 512


def read_data(fd: int, size: int, place: int) -> tuple[bytes, int]:
    """Read at most ``size`` bytes of what was written from ``place`` on. Return them and the place behind them.

    The blocks beside a hole may have zero bytes. If nothing but a hole follows, there are no bytes, and the place is
    the end of the file.
    """
    data = os.pread(fd, size, place)
    if 0 not in data or _LONG not in data:
        return data, place + len(data)
    # Asked before: what is written meanwhile is behind this end.
    end = os.fstat(fd).st_size
    # This moves the place of the descriptor, which the step may share. It is open for appending, so writes do not care.
    try:
        begin = os.lseek(fd, place, os.SEEK_DATA)
        hole = os.lseek(fd, begin, os.SEEK_HOLE)
    except OSError as error:
        return (b"", max(place, end)) if error.errno == errno.ENXIO else (data, place + len(data))
    data = os.pread(fd, min(size, hole - begin), begin)
    return data, begin + len(data)


def has_holes(fd: int) -> bool:
    """Return whether a part of the file was never written. If the file system cannot tell, there is none."""
    end = os.fstat(fd).st_size
    try:
        return end > 0 and os.lseek(fd, 0, os.SEEK_HOLE) < end
    except OSError:
        return False


def bytes_on_disk(fd: int) -> int:
    """Return how much room a file takes, without its holes."""
    about = os.fstat(fd)
    return min(about.st_size, about.st_blocks * _BLOCK_BYTES)
