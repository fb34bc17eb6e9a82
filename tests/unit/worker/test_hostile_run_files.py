"""Files that a step made to hinder its worker from removing or measuring them."""

import os
import resource
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.worker.run_files import RunFiles

_MIB = 1 << 20
_LONG = "d" * 200


def _deep(folder: Path, name: str, levels: int, inside: str = "") -> int:
    """Make folders in each other, and a file in the last; return its size on disk. Their path is longer than any."""
    folder.mkdir(parents=True)
    place = os.open(folder, os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=place)
        beneath = os.open(name, os.O_DIRECTORY, dir_fd=place)
        os.close(place)
        place = beneath
    with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=place), "wb") as file:
        file.write(bytes(_MIB))
        file.flush()
        os.fsync(file.fileno())
    size = os.stat("file", dir_fd=place).st_blocks * 512
    os.close(place)
    return size


@contextmanager
def _few_open_files(most: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_folders_deeper_than_a_worker_may_open_files_are_removed(tmp_path: Path) -> None:
    _deep(tmp_path / "runs/d/r", "d", 1500)

    with _few_open_files(600):
        RunFiles(tmp_path, keep_days=7).remove_old(time.time() + 60)

    assert not list(tmp_path.glob("runs/*"))
    assert not list(tmp_path.glob(".removed"))


def test_a_worker_needs_no_more_memory_for_deeper_folders_or_more_files(tmp_path: Path) -> None:
    """Else a step ends its worker, and each one after it: the files are still there."""
    _deep(tmp_path / "runs/d/deep", _LONG, 300)
    many = tmp_path / "runs/d/many" / _LONG / _LONG / _LONG
    for number in range(1500):
        (many / str(number)).mkdir(parents=True)
        (tmp_path / f"runs/d/many/{_LONG}{number}").touch()
    files = RunFiles(tmp_path, keep_days=7)

    peaks = []
    tracemalloc.start()
    try:
        for _ in range(3):
            tracemalloc.reset_peak()
            files.look()
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    files.remove_old(time.time() + 60)  # in a process of its own

    # In one of them, other threads of this process needed no memory.
    assert min(peaks) < _MIB / 2
    assert not list(tmp_path.glob("runs/*"))


def test_files_below_a_path_that_is_too_long_are_measured(tmp_path: Path) -> None:
    size = _deep(tmp_path / "runs/d/r", _LONG, 30)

    assert RunFiles(tmp_path, keep_days=7).look()[tmp_path / "runs/d/r"] >= size
