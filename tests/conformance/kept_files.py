"""Which files below a folder contain a text, while a worker removes files there."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["files_with"]


def files_with(text: bytes, folder: Path) -> list[Path]:
    """Return the files that contain ``text``; those that are removed meanwhile, alone or with their folder, do not."""
    found = []
    # Not ``rglob``, which raises an error if a folder is removed before it is listed.
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and text in path.read_bytes():
                    found.append(path)
    return found
