"""The wheel: everything that runs is in it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.manifests import ROOT

_PACKAGES = ("dagway", "services", "shared")
_ASK = "import dagway, dagway.executors, services.cli; print(dagway.__file__, dagway.__version__)"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("dagway-*.whl")
    return built


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.split("/")[0] in _PACKAGES}
    files = {path.relative_to(ROOT) for package in _PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    here = {path.as_posix() for path in files if "__pycache__" not in path.parts}

    assert packed == here
    kinds = {Path(name).suffix for name in packed if name.startswith("services/api/web/")}
    assert kinds >= {".html", ".js", ".css"}
    assert [name for name in packed if name.startswith("shared/store/migrations/versions/")]
    assert {name for name in packed if name.endswith("py.typed")} == {f"{package}/py.typed" for package in _PACKAGES}


def test_it_runs_by_itself(wheel: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", _ASK], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == [f"{wheel}/dagway/__init__.py", wheel.name.split("-")[1]]
