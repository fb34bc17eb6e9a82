"""Write the list of contents of a release (SBOM, CycloneDX 1.5) from the lock files: ``make sbom``.

The packages of the web pages' editor are in it, since the wheel holds them as one bundle.

The lock files pin each package that an installation may have, by version and by the hashes of its archives. So the list
needs no installation and no network, and is the same on every machine.
"""

import base64
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["bill_of_materials"]

ROOT = Path(__file__).parents[1]
LOCKS = {"requirements.lock": "required", "steps.lock": "optional"}
"""What is installed to run Dagway, and what only some types of step need."""
EDITOR_LOCK = "editor/package-lock.json"
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill_of_materials(root: Path = ROOT) -> dict[str, Any]:
    """Return the CycloneDX document. A package in several locks is listed once, as required if one lock requires it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    components: dict[str, dict[str, Any]] = {}
    for lock, scope in LOCKS.items():
        for component in _components((root / lock).read_text(), scope):
            components.setdefault(component["bom-ref"], component)
    for component in _bundled(json.loads((root / EDITOR_LOCK).read_text())):
        components[component["bom-ref"]] = component
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"pkg:pypi/{project['name']}@{project['version']}",
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [components[ref] for ref in sorted(components)],
    }


def _components(lock: str, scope: str) -> list[dict[str, Any]]:
    pins = list(_PIN.finditer(lock))
    ends = [pin.start() for pin in pins[1:]] + [len(lock)]
    found = []
    for pin, end in zip(pins, ends, strict=True):
        name = re.sub(r"[-_.]+", "-", pin["name"]).lower()
        reference = f"pkg:pypi/{name}@{pin['version']}"
        # One hash for each archive of this version; any of them may be the installed one.
        hashes = [{"alg": "SHA-256", "content": each} for each in _HASH.findall(lock[pin.start() : end])]
        found.append(
            {
                "type": "library",
                "bom-ref": reference,
                "name": name,
                "version": pin["version"],
                "scope": scope,
                "hashes": hashes,
                "purl": reference,
            }
        )
    return found


def _bundled(lock: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the npm packages in the editor's bundle: all of the lock file but those that only build it."""
    found = []
    for path, package in lock["packages"].items():
        if not path or package.get("dev"):
            continue
        name = path.removeprefix("node_modules/")
        reference = f"pkg:npm/{name.replace('@', '%40')}@{package['version']}"
        algorithm, _, digest = package["integrity"].partition("-")
        hashes = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}]
        found.append(
            {
                "type": "library",
                "bom-ref": reference,
                "name": name,
                "version": package["version"],
                "scope": "required",
                "hashes": hashes,
                "purl": reference,
            }
        )
    return found


if __name__ == "__main__":
    json.dump(bill_of_materials(), sys.stdout, indent=1)
    sys.stdout.write("\n")
