"""The file system that a bench writes to: on ext4 without a journal, new files cost ten times as much as usual."""

import os
from pathlib import Path

__all__ = ["file_system"]

_MOUNTS = Path("/proc/self/mountinfo")
_EXT4 = Path("/sys/fs/ext4")


def file_system(folder: Path) -> str:
    """Return what the folder is on, such as ``ext4``, ``ext4 without a journal`` or ``unknown`` (not on Linux).

    Without a journal, ext4 does not use the inode of a file that was deleted less than five minutes ago
    (``recently_deleted`` in its source), and passes over each such inode whenever it creates a file.
    """
    if not _MOUNTS.exists():
        return "unknown"
    number = folder.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == device:
            kind, source = after.split()[:2]
            journal = _EXT4 / Path(source).name / "journal_task"
            without = journal.exists() and journal.read_text(encoding="ascii").strip() == "<none>"
            return f"{kind} without a journal" if without else kind
    return "unknown"
