"""Dagway's wheel, installed with exactly the packages of the runtime locks: all modules import, all services work."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.locked import IN_NO_LOCK, NEEDS_DOCKER, RUNTIME, STEPS, Installation, locked_versions
from tests.deploy.manifests import ROOT
from tests.harness.cluster import Cluster, Embedded
from tests.harness.servers import PostgresServer, RabbitServer

pytestmark = pytest.mark.timeout(600)
_STEPS_ONLY = {"docker", "jq"}
"""Packages that code imports by a name in a text, and that are in steps.lock only."""
_SPEC = "steps:\n  - command: echo hello\n    output: SAID\n"
_PACKED = """
type: graph
steps:
  - name: make
    command: echo hello > a.txt
{archives}
  - name: count
    type: jq
    command: .a | length
    script: '{{"a": [1, 2, 3]}}'
    output: COUNT
"""
_ARCHIVE = """
  - name: {format}
    type: archive
    command: create
    config: {{source: a.txt, destination: "out.{format}", password: "{password}"}}
    depends: make
"""


@pytest.fixture(scope="module")
def swept(runtime: Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return runtime.sweep(tmp_path_factory.mktemp("home"))


def test_nothing_but_the_lock_and_dagway_is_installed(runtime: Installation, with_steps: Installation) -> None:
    for made, locks in ((runtime, [RUNTIME]), (with_steps, [RUNTIME, STEPS])):
        versions = made.versions()
        assert versions.pop("dagway")
        assert versions == locked_versions(*locks)


def test_the_wheel_has_every_file_of_the_packages(runtime: Installation) -> None:
    def files(folder: Path) -> set[str]:
        paths = [path for package in ("dagway", "services", "shared") for path in (folder / package).rglob("*")]
        return {str(path.relative_to(folder)) for path in paths if path.is_file() and "__pycache__" not in path.parts}

    examples = {f"dagway/{path.relative_to(ROOT)}" for path in (ROOT / "examples").rglob("*") if path.is_file()}
    assert files(runtime.site) == files(ROOT) | examples


def test_the_lock_is_enough_for_every_module(swept: dict[str, Any]) -> None:
    failed = {name.partition(":")[0]: error for name, error in swept["failed"].items()}
    ours = {name: error for name, error in failed.items() if name.partition(".")[0] in {"dagway", "services", "shared"}}
    assert set(ours) == NEEDS_DOCKER, ours
    assert all("container steps need the Python package docker" in error for error in ours.values()), ours
    assert {name.partition(".")[0] for name in set(failed) - set(ours)} == _STEPS_ONLY | IN_NO_LOCK, failed
    assert {kind for kind, error in swept["executors"].items() if error} == {"jq", "docker", "container"}
    assert swept["foreign"] == []


def test_with_the_steps_lock_nothing_is_missing(with_steps: Installation, tmp_path: Path) -> None:
    found = with_steps.sweep(tmp_path)

    assert found["modules"] > 300
    assert {name.partition(":")[0].partition(".")[0] for name in found["failed"]} == IN_NO_LOCK
    assert len(found["executors"]) > 10
    assert not any(found["executors"].values()), found["executors"]
    assert found["foreign"] == []


def test_every_command_says_how_it_is_used(runtime: Installation, swept: dict[str, Any], tmp_path: Path) -> None:
    assert ["api"] in swept["commands"]
    assert swept["without_help"] == []
    assert runtime.run(tmp_path, str(runtime.dagway), "--help").startswith("Usage: dagway [")
    assert runtime.run(tmp_path, str(runtime.dagway), "version") == f"{runtime.versions()['dagway']}\n"
    assert "Usage: python -m dagway" in runtime.run(tmp_path, str(runtime.python), "-m", "dagway", "--help")


def test_every_service_runs_a_workflow_on_real_servers(
    runtime: Installation, rabbit_server: RabbitServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with Cluster(tmp_path / "cluster", rabbit_server, postgres_server, program=runtime.dagway) as system:
        health = system.client.ask("GET", "/health")
        assert (health.status, health.json["status"]) == (200, "healthy")
        system.client.create("inside", _SPEC)
        system.client.start("inside")
        system.client.until("succeeded", "inside")
        assert system.client.outputs("inside") == {"said": "hello"}

        home = tmp_path / "home"
        home.mkdir()
        said = runtime.run(home, str(runtime.dagway), "why", "inside", "r1", "--url", system.client.base)
        assert "succeeded" in said
        for words in (["list"], ["return"]):
            runtime.run(home, str(runtime.dagway), "dead-letters", *words, "--amqp-url", system.amqp_url)
        assert system.stop() == [0, 0, 0]


def test_one_process_runs_a_workflow(runtime: Installation, tmp_path: Path) -> None:
    with Embedded(tmp_path, program=runtime.dagway) as system:
        assert system.client.ask("GET", "/health").json["status"] == "healthy"
        system.client.create("inside", _SPEC)
        system.client.start("inside")
        system.client.until("succeeded", "inside")
        assert system.client.outputs("inside") == {"said": "hello"}
        assert system.stop() == [0]


def test_the_steps_lock_is_enough_for_what_steps_load_by_name(with_steps: Installation, tmp_path: Path) -> None:
    passwords = {"tar.zst": "", "lz4": "", "zip": "secret"}
    archives = "".join(_ARCHIVE.format(format=name, password=word) for name, word in passwords.items())
    with Embedded(tmp_path, program=with_steps.dagway) as system:
        system.client.create("packed", _PACKED.format(archives=archives))
        system.client.start("packed")
        system.client.until("succeeded", "packed")
        assert system.client.outputs("packed") == {"count": "3"}
