"""A folder whose files are in memory, for what does not have to survive the machine."""

import os
import shutil
from pathlib import Path

__all__ = ["memory_folder"]

_FOLDER = Path("/dev/shm")


def memory_folder(room_bytes: int) -> Path | None:
    """Return the folder; ``None`` if this machine has none, or not so much room there, as in many containers."""
    if not os.access(_FOLDER, os.W_OK) or shutil.disk_usage(_FOLDER).free < room_bytes:
        return None
    return _FOLDER
