"""A small disk that tests can fill. Needs the right to mount."""

import errno
import shutil
import subprocess
from pathlib import Path
from typing import Self

__all__ = ["SmallDisk"]


class SmallDisk:
    """A disk of ``megabytes`` in memory, at the existing folder ``folder``."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._megabytes = megabytes
        self._filler = folder / "filler"
        self._mounted = False

    def mount(self) -> bool:
        """Mount the disk and return whether that was possible."""
        if shutil.which("mount") is None:
            return False
        words = ["mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "dagway-test", str(self.folder)]
        self._mounted = subprocess.run(words, check=False, capture_output=True).returncode == 0
        return self._mounted

    def fill(self) -> None:
        """Write until no space is left."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Free the space again."""
        self._filler.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
