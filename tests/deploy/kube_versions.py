"""Check every set of manifests against the strict schemas of all supported versions of Kubernetes.

``make check`` runs it: ``python -m tests.deploy.kube_versions``. The kinds of operators are checked once, against the
parts of their definitions in ``custom_kinds.json``.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.deploy.manifests import Object, custom_kinds, manifest_set, name_of, set_names

__all__ = ["VERSIONS", "custom_faults", "faults"]

VERSIONS = tuple(f"1.{minor}" for minor in range(29, 38))
_CUSTOM = {
    kind: Draft202012Validator(schema)
    for kind, schema in json.loads((Path(__file__).parent / "custom_kinds.json").read_text()).items()
    if kind
}


def faults(objects: list[Object]) -> Iterator[str]:
    """Yield what a version of Kubernetes would refuse: unknown kinds, unknown fields, wrong types."""
    for each in objects:
        for version, fault in _faults_of(json.dumps(each)):
            yield f"Kubernetes {version}, {name_of(each)}: {fault}"


@cache
def _faults_of(text: str) -> list[tuple[str, str]]:
    """Return the versions that refuse an object, given as JSON. Cached: many sets have the same objects."""
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(json.loads(text), version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            found.append((version, str(error).splitlines()[0]))
    return found


def custom_faults(objects: list[Object]) -> Iterator[str]:
    """Yield what is wrong with objects of the kinds of operators."""
    for each in objects:
        kind = f"{each['apiVersion']}/{each['kind']}"
        if kind not in _CUSTOM:
            yield f"{name_of(each)}: no definition of {kind}"
            continue
        for error in _CUSTOM[kind].iter_errors(each["spec"]):
            yield f"{name_of(each)}: {error.json_path}: {error.message}"


def main() -> int:
    """Print the faults of all sets; return 1 if there are any."""
    found = [
        f"{name}: {fault}"
        for name in set_names()
        if not (shutil.which("kubectl") and name.endswith("-sources"))  # what kustomize renders from them is checked
        for fault in (*faults(manifest_set(name)), *custom_faults(custom_kinds(name)))
    ]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
