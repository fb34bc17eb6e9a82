"""The provenance statement of a release: from what it was built, by which program and when.

An in-toto statement (v1) with SLSA's provenance (v1) as predicate. Nobody signs it here: whoever publishes a release
signs the checksums, which contain the statement.
"""

import hashlib
import importlib.metadata
import platform
import subprocess
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["provenance"]

_LOCKS = ("requirements.lock", "steps.lock", "build.lock", "docs.lock")
_TOOLS = ("hatchling", "helm-python-sdk")


def provenance(root: Path, built: Iterable[Path], began: datetime) -> dict[str, Any]:
    """Return the statement about these files, which were built from the sources in ``root`` since ``began``."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": _sha256(file)}} for file in sorted(built)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:dagway:make-release:v1",
                "externalParameters": {"version": version},
                "internalParameters": {"uncommitted": _uncommitted(root)},
                "resolvedDependencies": [*_source(root), *_locks(root)],
            },
            "runDetails": {
                "builder": {
                    "id": "urn:dagway:make-release",
                    "version": {
                        "python": platform.python_version(),
                        **{name: importlib.metadata.version(name) for name in _TOOLS},
                    },
                },
                "metadata": {"startedOn": _moment(began), "finishedOn": _moment(datetime.now(UTC))},
            },
        },
    }


def _source(root: Path) -> list[dict[str, Any]]:
    """Return the commit that the sources are of; nothing outside of a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    return [{"name": "source", "digest": {"gitCommit": commit[0]}}] if commit else []


def _locks(root: Path) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": _sha256(root / name)}} for name in _LOCKS]


def _uncommitted(root: Path) -> list[str]:
    """Return the files that differ from the commit: with any, the commit alone does not make the same release."""
    return sorted(line[3:] for line in _git(root, "status", "--porcelain"))


def _git(root: Path, *asked: str) -> list[str]:
    command = ["git", *asked]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
