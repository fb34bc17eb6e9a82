"""``make release``: one version in all files, and everything that a release consists of."""

import hashlib
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from scripts.release import ROOT, absent_pages, build, other_versions, project_version
from tests.deploy.chart import render
from tests.deploy.manifests import of_kind


def test_every_file_names_the_same_version() -> None:
    assert list(other_versions()) == []


@pytest.mark.parametrize(
    "name",
    [
        "deploy/helm/dagway/Chart.yaml",
        "docker-compose.yml",
        "Dockerfile",
        "deploy/k8s/base/api.yaml",
        "deploy/k8s/overlays/prod/kustomization.yaml",
    ],
)
def test_another_version_is_named_with_its_file(name: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((ROOT / name).read_text().replace(project_version(), "9.9.9"))

    found = set(other_versions(tmp_path))

    assert found == {f"{name}: 9.9.9"}


def test_a_wheel_without_documentation_or_editor_is_no_release(tmp_path: Path) -> None:
    wheel = tmp_path / "dagway.whl"
    for name, absent in (("docs_site/index.html", ["the editor"]), ("web/built/editor.js", ["the documentation"])):
        with zipfile.ZipFile(wheel, "w") as files:
            files.writestr(f"services/api/{name}", "")
        assert [each.partition(" (")[0] for each in absent_pages(wheel)] == absent


def test_a_release_has_wheel_sdist_chart_sbom_and_their_checksums(tmp_path: Path) -> None:
    version = project_version()

    built = {file.name: file for file in build(tmp_path)}

    assert set(built) == {
        f"dagway-{version}-py3-none-any.whl",
        f"dagway-{version}.tar.gz",
        f"dagway-{version}.tgz",
        f"dagway-{version}.sbom.json",
        "SHA256SUMS",
    }
    lines = [line.split("  ") for line in built["SHA256SUMS"].read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in built.items() if name != "SHA256SUMS"
    }
    with zipfile.ZipFile(built[f"dagway-{version}-py3-none-any.whl"]) as wheel:
        assert f"Version: {version}\n" in wheel.read(f"dagway-{version}.dist-info/METADATA").decode()
    with tarfile.open(built[f"dagway-{version}.tar.gz"]) as sdist:
        assert f"dagway-{version}/deploy/helm/dagway/values.yaml" in sdist.getnames()
    bill = json.loads(built[f"dagway-{version}.sbom.json"].read_text())
    assert bill["metadata"]["component"]["version"] == version

    # The links of the chart's folder are files in the archive.
    values = {"prometheusRule": {"enabled": True}}
    objects = render(values, built[f"dagway-{version}.tgz"])
    (rule,) = of_kind(objects, "PrometheusRule")
    recorded = yaml.safe_load((ROOT / "deploy/prometheus/recording.rules.yml").read_text())["groups"]
    assert rule["spec"]["groups"][: len(recorded)] == recorded
    (job,) = of_kind(objects, "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == f"dagway:{version}"
