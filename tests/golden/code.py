"""The code of the last release, which tests run beside this version.

``code.tar.xz`` has what the release's wheel has, without the pages' bundles, the documentation and the examples. Its
processes use the packages that are installed now. 0.1.0 is the first release: before its code
is recorded, the archive has that of 27 November 2026, as version 0.1.0.dev0.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from scripts.release import project_version

__all__ = ["CODE", "record_code", "unpack_code"]

CODE = Path(__file__).with_name("code.tar.xz")
_PACKAGES = ("dagway", "services", "shared")
_LEFT_OUT = {"__pycache__", "built", "docs_site", "examples"}


def record_code(root: Path, archive: Path = CODE) -> None:
    """Write the code below ``root`` to an archive. The same code makes the same bytes."""
    version = project_version(root)
    metadata = f"Metadata-Version: 2.1\nName: dagway\nVersion: {version}\n".encode()
    with tarfile.open(archive, "w:xz") as files:
        for name, data in (*_modules(root), (f"dagway-{version}.dist-info/METADATA", metadata)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            files.addfile(entry, io.BytesIO(data))


def unpack_code(folder: Path, archive: Path = CODE) -> Path:
    """Write the code of the last release to a new folder, and return it: the ``PYTHONPATH`` of its processes."""
    folder.mkdir(parents=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


def _modules(root: Path) -> Iterator[tuple[str, bytes]]:
    for package in _PACKAGES:
        for file in sorted((root / package).rglob("*")):
            name = file.relative_to(root)
            if file.is_file() and not _LEFT_OUT.intersection(name.parts):
                yield name.as_posix(), file.read_bytes()
