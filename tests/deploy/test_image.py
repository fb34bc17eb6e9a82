"""The Dockerfile, and which files get into the image."""

import re

from tests.deploy.manifests import ROOT

_DOCKERFILE = (ROOT / "Dockerfile").read_text()
_STAGES = re.split(r"^FROM ", _DOCKERFILE, flags=re.MULTILINE)


def _stage(name: str) -> str:
    return next(stage for stage in _STAGES if re.match(rf"\S+ AS {name}\n", stage))


def test_both_images_run_as_the_same_unprivileged_user() -> None:
    for stage in ("worker", "dagway"):
        assert re.findall(r"^USER (.*)$", _stage(stage), flags=re.MULTILINE)[-1] == "10001:10001"


def test_a_plain_build_makes_the_image_without_tools() -> None:
    assert _STAGES[-1].startswith("scratch AS dagway\n")
    assert "RUN" not in _stage("dagway")


def test_the_editor_is_built_by_a_stage_of_which_only_its_files_are_taken() -> None:
    assert "npm ci" in _stage("editor")
    assert re.findall(r"^COPY --from=editor (.*)$", _DOCKERFILE, flags=re.MULTILINE) == [
        "/built services/api/web/built"
    ]


def test_only_packages_with_a_known_hash_are_installed() -> None:
    installs = re.findall(r"pip(?: --python \S+)? install(?: [^&\n]*)", _DOCKERFILE)

    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install


def test_the_base_image_is_one_version_that_can_be_replaced() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim$", _DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^ARG NODE_IMAGE=node:\d+-slim$", _DOCKERFILE, flags=re.MULTILINE)
    assert {stage.split()[0] for stage in _STAGES[1:]} == {"${NODE_IMAGE}", "${PYTHON_IMAGE}", "build", "scratch"}


def test_both_images_have_the_same_settings() -> None:
    def settings(stage: str) -> set[str]:
        return set(re.findall(r"[A-Z_]+=\S+", stage)) - {"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}

    assert settings(_stage("dagway")) == settings(_stage("worker"))


def test_what_is_copied_is_let_through_and_nothing_else_is() -> None:
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*)$", _DOCKERFILE, flags=re.MULTILINE)

    assert ignore[0] == "*"
    assert allowed == {name for line in copied for name in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in allowed)
