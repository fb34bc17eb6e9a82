"""Build what a release consists of into ``dist``: ``make release``.

Wheel, sdist, Helm chart, the definition of the images, SBOM, a statement of their provenance, and the checksums of all
six. Everything has the version of ``pyproject.toml``; a file that names another one, or a changelog without a dated
section for it, ends the build before it begins. The wheel must have the documentation and the editor. Wheel and sdist
carry the time of the commit: each build of a commit makes the same bytes.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import helm_python

from scripts.provenance import provenance
from scripts.sbom import bill_of_materials

__all__ = ["IMAGES", "ROOT", "absent_pages", "build", "main", "other_versions", "project_version", "released_on"]

ROOT = Path(__file__).parents[1]
CHART = Path("deploy/helm/dagway")
IMAGES = ROOT / "deploy/image/bake.hcl"
_NAMED = {
    "deploy/helm/dagway/Chart.yaml": r"^(?:version|appVersion): (\S+)",
    "deploy/helm/dagway/ci/*-values.yaml": r"^image: \{.*\btag: ([^,}\s]+)",
    "docker-compose.yml": r"image: dagway(?:-worker)?:(\S+)",
    "Dockerfile": r"--tag dagway(?:-worker)?:(\S+)",
    "deploy/image/bake.hcl": r'^variable "VERSION" \{\s+default = "([^"]+)"',
    "deploy/k8s/base/*.yaml": r"image: dagway(?:-worker)?:(\S+)",
    "deploy/k8s/components/*/*.yaml": r"image: dagway(?:-worker)?:(\S+)",
    "deploy/k8s/overlays/*/kustomization.yaml": r"\{name: dagway.*newTag: ([^}\s]+)\}",
}
"""Where else the version is written, and how."""
_PAGES = {
    "services/api/docs_site/index.html": "the documentation (make docs)",
    "services/api/web/built/editor.js": "the editor (needs npm and its registry)",
}
"""What is in a wheel only if it was made before."""


def project_version(root: Path = ROOT) -> str:
    """Return the version in ``pyproject.toml``."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def other_versions(root: Path = ROOT) -> Iterator[str]:
    """Yield each place that names another version than ``pyproject.toml``, as ``FILE: VERSION``."""
    wanted = project_version(root)
    for pattern, written in _NAMED.items():
        for file in sorted(root.glob(pattern)):
            for version in re.findall(written, file.read_text(), re.MULTILINE):
                if version != wanted:
                    yield f"{file.relative_to(root)}: {version}"


def released_on(root: Path = ROOT) -> date | None:
    """Return the date of the version's section in ``CHANGELOG.md``; None without a section that has a date."""
    heading = rf"^## \[{re.escape(project_version(root))}\] - (\d{{4}}-\d\d-\d\d)$"
    found = re.search(heading, (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def build(into: Path, root: Path = ROOT) -> list[Path]:
    """Build all files of the release into an empty folder and return them; the checksums come last."""
    began = datetime.now(UTC)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _commit_time(root)}
    hatch = [sys.executable, "-m", "hatchling", "build", "--directory", str(into)]
    subprocess.run(hatch, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    version = project_version(root)
    helm_python.package(root / CHART, destination=into, version=version, app_version=version)
    shutil.copyfile(IMAGES, into / f"dagway-{version}.bake.hcl")
    (into / f"dagway-{version}.sbom.json").write_text(json.dumps(bill_of_materials(root), indent=1) + "\n")
    statement = provenance(root, list(into.iterdir()), began)
    (into / f"dagway-{version}.provenance.json").write_text(json.dumps(statement, indent=1) + "\n")
    built = sorted(into.iterdir())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in built]
    checksums = into / "SHA256SUMS"
    checksums.write_text("".join(lines))
    return [*built, checksums]


def absent_pages(wheel: Path) -> list[str]:
    """Return what a wheel of a release lacks of the web pages."""
    with zipfile.ZipFile(wheel) as files:
        return [what for name, what in _PAGES.items() if name not in files.namelist()]


def _commit_time(root: Path) -> str:
    """Return the time of the last commit, in seconds; that of the project file outside of a repository."""
    asked = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or str(int((root / "pyproject.toml").stat().st_mtime))


def main(root: Path = ROOT) -> int:
    """Build into ``dist``; or print what is wrong with the version, the changelog or the wheel, and return 1."""
    if wrong := list(other_versions(root)):
        sys.stderr.writelines(f"{each}, but pyproject.toml says {project_version(root)}\n" for each in wrong)
        return 1
    if released_on(root) is None:
        sys.stderr.write(f"CHANGELOG.md has no section `## [{project_version(root)}] - YYYY-MM-DD`\n")
        return 1
    into = root / "dist"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    built = build(into, root)
    (wheel,) = into.glob("*.whl")
    if absent := absent_pages(wheel):
        shutil.rmtree(into)
        sys.stderr.writelines(f"the wheel would lack {each}\n" for each in absent)
        return 1
    sys.stdout.writelines(f"{file.relative_to(root)}\n" for file in built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
