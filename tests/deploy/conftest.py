"""Installations as in the image, made once for the folder: copying their packages takes seconds of CPU time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.locked import RUNTIME, STEPS, Installation, build_wheel, install


@pytest.fixture(scope="package")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="package")
def runtime(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What the gateway, the scheduler and `dagway up` need."""
    folder = tmp_path_factory.mktemp("runtime") / "dagway"
    yield install(folder, [RUNTIME], wheel)
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def with_steps(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What a worker needs for all types of steps."""
    folder = tmp_path_factory.mktemp("steps") / "dagway"
    yield install(folder, [RUNTIME, STEPS], wheel)
    shutil.rmtree(folder)
