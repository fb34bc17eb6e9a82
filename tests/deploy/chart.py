"""Render the Helm chart as Helm does, offline: the dev dependency ``helm-python-sdk`` carries Helm as a library."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["CHART", "VALUE_SETS", "Refused", "chart_set", "lint", "notes", "render"]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "dagway"
VALUE_SETS = {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}

# Helm's library is a Go runtime with threads and signal handlers of its own: it gets a process of its own.
_RENDER = """
import json, sys
import helm_python
path, values = json.load(sys.stdin)
try:
    with helm_python.Chart.load(path) as chart:
        json.dump(chart.render(values, name="dagway", namespace="dagway"), sys.stdout)
except helm_python.HelmError as error:
    sys.exit(f"refused: {error}")
"""
_LINT = """
import json, sys
import helm_python
path, values = json.load(sys.stdin)
json.dump(helm_python.lint(path, values, strict=True), sys.stdout)
"""


class Refused(Exception):
    """Helm refuses the values; the text is Helm's."""


def render(values: dict[str, Any], chart: Path = CHART) -> list[dict[str, Any]]:
    """Return the objects that Helm makes of the chart, a folder or an archive, for the release ``dagway``.

    Raises:
        Refused: the values do not fit the schema, or a template fails.
    """
    documents = _rendered(values, chart)
    texts = [documents[name] for name in sorted(documents) if not name.endswith(".txt")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def notes(values: dict[str, Any]) -> str:
    """Return what ``helm install`` prints at its end."""
    (text,) = [text for name, text in _rendered(values, CHART).items() if name.endswith("NOTES.txt")]
    return text


def _rendered(values: dict[str, Any], chart: Path) -> dict[str, str]:
    documents: dict[str, str] = json.loads(_helm(_RENDER, values, chart))
    return documents


def lint(values: dict[str, Any]) -> list[str]:
    """Return the errors and warnings of ``helm lint --strict``."""
    report = json.loads(_helm(_LINT, values, CHART))
    information = 1
    return [each["error"] for each in report["messages"] if each["severity"] > information]


def _helm(program: str, values: dict[str, Any], chart: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([str(chart), values]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.partition("refused: ")
        raise Refused(last[2].strip()) if last[1] else AssertionError(done.stderr)
    return done.stdout


@cache
def chart_set(name: str) -> list[dict[str, Any]]:
    """Return the objects of a value set of the folder ``ci``, which the caller must not change."""
    return render(yaml.safe_load(VALUE_SETS[name].read_text()))
