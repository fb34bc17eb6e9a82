"""``make release``: one version in all files, and everything that a release consists of."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest
import yaml

from scripts.provenance import provenance
from scripts.release import IMAGES, ROOT, absent_pages, build, main, other_versions, project_version, released_on
from shared.clock import utc_now
from tests.deploy.chart import render
from tests.deploy.manifests import of_kind
from tests.harness.needs import need


def test_every_file_names_the_same_version() -> None:
    assert list(other_versions()) == []


@pytest.mark.parametrize(
    "name",
    [
        "deploy/helm/dagway/Chart.yaml",
        "deploy/helm/dagway/ci/everything-values.yaml",
        "docker-compose.yml",
        "Dockerfile",
        "deploy/image/bake.hcl",
        "deploy/k8s/base/api.yaml",
        "deploy/k8s/components/keda/deletion-costs.yaml",
        "deploy/k8s/overlays/prod/kustomization.yaml",
        "deploy/k8s/overlays/watched/kustomization.yaml",
    ],
)
def test_another_version_is_named_with_its_file(name: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((ROOT / name).read_text().replace(project_version(), "9.9.9"))

    found = set(other_versions(tmp_path))

    assert found == {f"{name}: 9.9.9"}


@pytest.mark.parametrize(
    ("heading", "found"),
    [
        ("## [1.2.3] - 2026-11-28", date(2026, 11, 28)),
        ("## [1.2.3]", None),
        ("## [1.2.3] - 2026-02-30", None),
        ("## [1.2.30] - 2026-11-28", None),
        ("## [1x2.3] - 2026-11-28", None),
        ("## [Unreleased]", None),
    ],
)
def test_a_version_is_a_release_once_the_changelog_dates_it(heading: str, found: date | None, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{heading}\n\n### Added\n")

    assert released_on(tmp_path) == found


def test_without_a_dated_section_nothing_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")

    assert main(tmp_path) == 1

    assert capsys.readouterr().err == "CHANGELOG.md has no section `## [1.2.3] - YYYY-MM-DD`\n"
    assert not (tmp_path / "dist").exists()


def test_this_version_has_its_section() -> None:
    assert released_on() is not None


def test_a_wheel_without_documentation_or_editor_is_no_release(tmp_path: Path) -> None:
    wheel = tmp_path / "dagway.whl"
    for name, absent in (("docs_site/index.html", ["the editor"]), ("web/built/editor.js", ["the documentation"])):
        with zipfile.ZipFile(wheel, "w") as files:
            files.writestr(f"services/api/{name}", "")
        assert [each.partition(" (")[0] for each in absent_pages(wheel)] == absent


def test_a_statement_names_the_commit_and_what_is_not_committed(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.lock", "steps.lock", "build.lock", "docs.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".gitignore").write_text("built\n")
    built = tmp_path / "built"
    built.write_bytes(b"abc")

    def built_from() -> tuple[list[str], object]:
        definition = provenance(tmp_path, [built], utc_now())["predicate"]["buildDefinition"]
        commits = [
            each["digest"]["gitCommit"] for each in definition["resolvedDependencies"] if each["name"] == "source"
        ]
        return commits, definition["internalParameters"]["uncommitted"]

    def git(*asked: str) -> str:
        names = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        # Without the settings of the developer: they may ask for signatures and hooks.
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *names, *asked], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    assert built_from()[0] == []
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    assert built_from() == ([git("rev-parse", "HEAD")], [])
    (tmp_path / "build.lock").write_text("other")
    assert built_from() == ([git("rev-parse", "HEAD")], ["build.lock"])


def test_a_release_has_wheel_sdist_chart_images_sbom_and_their_checksums(tmp_path: Path) -> None:
    version = project_version()

    built = {file.name: file for file in build(tmp_path)}

    assert set(built) == {
        f"dagway-{version}-py3-none-any.whl",
        f"dagway-{version}.tar.gz",
        f"dagway-{version}.tgz",
        f"dagway-{version}.bake.hcl",
        f"dagway-{version}.sbom.json",
        f"dagway-{version}.provenance.json",
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

    statement = json.loads(built[f"dagway-{version}.provenance.json"].read_text())
    digests = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert digests == {name: digest for name, digest in sums.items() if "provenance" not in name}
    definition = statement["predicate"]["buildDefinition"]
    sources = {each["name"]: each["digest"] for each in definition["resolvedDependencies"]}
    lock = hashlib.sha256((ROOT / "build.lock").read_bytes()).hexdigest()
    assert sources["build.lock"] == {"sha256": lock}
    assert statement["predicate"]["runDetails"]["metadata"]["startedOn"] <= utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")

    # The links of the chart's folder are files in the archive.
    values = {"prometheusRule": {"enabled": True}}
    objects = render(values, built[f"dagway-{version}.tgz"])
    (rule,) = of_kind(objects, "PrometheusRule")
    recorded = yaml.safe_load((ROOT / "deploy/prometheus/recording.rules.yml").read_text())["groups"]
    assert rule["spec"]["groups"][: len(recorded)] == recorded
    (job,) = of_kind(objects, "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == f"dagway:{version}"

    assert built[f"dagway-{version}.bake.hcl"].read_bytes() == IMAGES.read_bytes()


@pytest.mark.parametrize(
    ("registry", "prefix"), [("", ""), ("registry.example.com/team", "registry.example.com/team/")]
)
def test_both_images_are_defined_for_two_platforms(registry: str, prefix: str) -> None:
    need("docker-buildx")
    # No engine is needed to read the definition, so none is reachable.
    env = {**os.environ, "REGISTRY": registry, "DOCKER_HOST": "unix:///nonexistent"}
    printed = subprocess.run(
        ["docker", "buildx", "bake", "--file", IMAGES, "--print"], cwd=ROOT, env=env, capture_output=True, check=True
    )

    defined = json.loads(printed.stdout)

    assert defined["group"]["default"]["targets"] == sorted(defined["target"]) == ["dagway", "dagway-worker"]
    for name, image in defined["target"].items():
        assert image["tags"] == [f"{prefix}{name}:{project_version()}"]
        assert image["platforms"] == ["linux/amd64", "linux/arm64"]
        assert image["attest"] == ["type=sbom", "type=provenance,mode=max"]
    # The last stage is the one that is built without a target.
    stages = re.findall(r"^FROM .+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "target" not in defined["target"]["dagway"]
    assert defined["target"]["dagway-worker"]["target"] in stages[:-1]
