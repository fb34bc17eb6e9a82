"""Create an installation as in the image: exactly the packages that lock files pin, and Dagway's built wheel.

Nothing is downloaded: the files of the locked packages are copied from the test's own environment, which
must have each package in the locked version. The installation cannot import other packages of that
environment, nor the source tree.
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.manifests import ROOT
from tests.harness.procs import clean_environment

__all__ = [
    "IN_NO_LOCK",
    "NEEDS_DOCKER",
    "RUNTIME",
    "STEPS",
    "Installation",
    "build_wheel",
    "install",
    "locked_versions",
]

RUNTIME = "requirements.lock"
STEPS = "steps.lock"
NEEDS_DOCKER = {"services.worker.executors.container.docker", "services.worker.executors.container.engine"}
"""Modules that cannot be imported without steps.lock; importing them raises an error that names the missing package."""
IN_NO_LOCK = {"mcp"}
"""Packages that no installation of a server has: ``dagway mcp`` runs on the machine of its user."""
_SWEEP = Path(__file__).with_name("sweep.py")
_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment without access to packages of other environments."""

    folder: Path

    @property
    def python(self) -> Path:
        """The path of the interpreter."""
        return self.folder / "bin" / "python"

    @property
    def dagway(self) -> Path:
        """The path of the command ``dagway``."""
        return self.folder / "bin" / "dagway"

    @property
    def site(self) -> Path:
        """The folder of the packages."""
        (site,) = self.folder.glob("lib/python3*/site-packages")
        return site

    def versions(self) -> dict[str, str]:
        """Return the installed distributions with their versions."""
        found = importlib.metadata.distributions(path=[str(self.site)])
        return {canonicalize_name(each.name): each.version for each in found}

    def sweep_argv(self) -> list[str]:
        """Return the command that imports all of Dagway and prints the results; see ``sweep.py``."""
        return [str(self.python), "-I", "-c", _SWEEP.read_text()]

    def sweep(self, home: Path, *before: str) -> dict[str, Any]:
        """Run the command of ``sweep_argv``. ``before`` is put before it: ``chroot FOLDER``, for instance."""
        answer: dict[str, Any] = json.loads(self.run(home, *before, *self.sweep_argv()))
        return answer

    def run(self, home: Path, *argv: str) -> str:
        """Run a command in ``home`` with a clean environment; return its stdout."""
        done = subprocess.run(
            argv, env=clean_environment(home), cwd=home, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        assert done.returncode == 0, f"{argv[:4]}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def locked_versions(*locks: str) -> dict[str, str]:
    """Return the versions that lock files pin for this interpreter and system."""
    versions: dict[str, str] = {}
    for line in (line for lock in locks for line in (ROOT / lock).read_text().splitlines() if "==" in line):
        pinned = Requirement(line.rstrip("\\ "))
        if pinned.marker is None or pinned.marker.evaluate():
            (only,) = pinned.specifier
            known = versions.setdefault(canonicalize_name(pinned.name), only.version)
            assert known == only.version, f"{pinned.name}: {known} and {only.version} are locked"
    return versions


def build_wheel(folder: Path) -> Path:
    """Build Dagway's wheel from the source tree, with the build packages of the test's environment."""
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    _quietly(argv, ROOT, home=folder)  # where npm, which bundles the editor, keeps its cache
    (wheel,) = folder.glob("dagway-*.whl")
    return wheel


def install(folder: Path, locks: Sequence[str], wheel: Path) -> Installation:
    """Create an installation of the packages that these lock files pin, without their own tests, and of a wheel."""
    _quietly([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    made = Installation(folder)
    for name, version in locked_versions(*locks).items():
        _copy(name, version, made.site)
    for path in sorted(made.site.rglob("*"), reverse=True):
        if path.name in {"tests", "testing"} and path.is_dir():
            shutil.rmtree(path)
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--python", str(made.python)]
    _quietly([*pip, "install", "--no-index", "--no-deps", str(wheel)], folder.parent)
    return made


def _copy(name: str, version: str, site: Path) -> None:
    """Copy a distribution's files, including byte code if there is any."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise AssertionError(f"{name}=={version} is locked and not installed: run make setup") from None
    assert found.version == version, f"{name} is locked as {version} and installed as {found.version}: run make setup"
    assert found.files, f"{name} does not say which files it has"
    for file in found.files:
        source = Path(str(file.locate()))
        # Files outside the packages' folder are commands, which contain the path of their environment's interpreter.
        if ".." not in file.parts and (source.suffix != ".pyc" or source.exists()):
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, site / file)


def _quietly(argv: Sequence[str], cwd: Path, home: Path | None = None) -> None:
    done = subprocess.run(
        argv,
        env=clean_environment(home or cwd),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{argv}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
