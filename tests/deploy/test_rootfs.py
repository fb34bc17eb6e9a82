"""The image's file system, built here: it is small, and every service starts in it under a real container engine."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from docker.models.containers import Container

from tests.deploy.locked import IN_NO_LOCK, NEEDS_DOCKER, Installation
from tests.deploy.manifests import ROOT
from tests.harness.client import Client
from tests.harness.cluster import give_roles, new_database
from tests.harness.engines import DockerEngine
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.signing import signing_settings

pytestmark = pytest.mark.timeout(600)
"""Building the file system takes 20 s of CPU time, and one test starts an engine and two servers."""
_MOST_BYTES = 100_000_000
"""The limit for Dagway and its dependencies, without byte code.

The image, with byte code, Debian's Python, a shell and its tools, has 148 MB. The Python of a test run may be larger.
"""
_SCRIPT = ROOT / "deploy" / "image" / "rootfs.py"
_ASK = """
import json, sys, urllib.request as web
method, path, body = sys.argv[1:]
request = web.Request(f"http://127.0.0.1:8080{path}", body.encode() or None, {"Content-Type": "application/json"})
request.method = method
sys.stdout.write(web.urlopen(request, timeout=110).read().decode())
"""
_SPEC = """
steps:
  - command: id -u | sed 's/^/user /'
    output: WHO
  - touch /here 2>/dev/null || echo kept out
"""


@pytest.fixture(scope="module", autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another user")


@contextmanager
def _gathered(folder: Path, made: Installation) -> Iterator[Path]:
    """Build the file system as the Dockerfile does. It is removed at the end, since it has 200 MB."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
    subprocess.run([sys.executable, str(_SCRIPT), str(made.folder), str(folder / "rootfs")], env=env, check=True)
    yield folder / "rootfs"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def root(runtime: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with _gathered(tmp_path_factory.mktemp("image"), runtime) as folder:
        yield folder


@pytest.fixture(scope="module")
def engine(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    need("dockerd")
    folder = tmp_path_factory.mktemp("d")
    archive = folder / "rootfs.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    with DockerEngine(folder) as started:
        started.client.api.import_image_from_file(str(archive), repository="localhost/dagway", tag="1")
        yield started


def test_the_file_system_of_the_image_is_small(root: Path, runtime: Installation) -> None:
    inside = root / runtime.folder.relative_to("/")

    assert sum(path.lstat().st_size for path in inside.rglob("*") if path.suffix != ".pyc") < _MOST_BYTES


def test_nothing_in_it_gives_rights_or_installs_anything(root: Path) -> None:
    files = [path for path in root.rglob("*") if not path.is_symlink()]
    names = {path.name for path in files if path.stat().st_mode & stat.S_IXUSR and path.is_file()}

    assert [path for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert not names & {"apt", "apt-get", "dpkg", "pip", "pip3", "su", "mount", "cc", "gcc", "curl", "wget", "perl"}
    assert not list(root.rglob("site-packages/pip"))
    writable = [path for path in files if path.stat().st_uid == 10001 or path.stat().st_mode & stat.S_IWOTH]
    assert {str(path.relative_to(root)) for path in writable} == {"data", "tmp"}


def test_every_link_leads_somewhere(root: Path) -> None:
    def leads(path: Path) -> bool:
        target = path.readlink()
        return (root / target.relative_to("/") if target.is_absolute() else path.parent / target).exists()

    outside = [path for path in root.rglob("*") if path.is_symlink() and not leads(path)]
    assert {path.name for path in outside} <= {"sitecustomize.py"}


def _changed_root(root: Path) -> tuple[str, ...]:
    return "chroot", "--userspec=10001:10001", str(root), "/usr/bin/env", "-i", "HOME=/data", "PATH=/usr/bin:/bin"


def test_commands_know_the_time_zones(root: Path) -> None:
    said = subprocess.run([*_changed_root(root), "TZ=Asia/Tokyo", "date", "+%Z %z"], capture_output=True, check=True)

    assert said.stdout == b"JST +0900\n"


def _package(module: str) -> str:
    return module.partition(":")[0].partition(".")[0]


def test_every_module_is_imported_from_it(root: Path, runtime: Installation, tmp_path: Path) -> None:
    found = runtime.sweep(tmp_path, *_changed_root(root))

    missing = {name for name in found["failed"] if _package(name) not in {"docker", "jq", *IN_NO_LOCK}}
    assert missing == NEEDS_DOCKER, found["failed"]
    assert found["foreign"] == []
    assert found["without_help"] == []
    said = runtime.run(tmp_path, *_changed_root(root), str(runtime.dagway), "--help")
    assert said.startswith("Usage: dagway [")


def test_every_module_is_imported_from_the_workers(with_steps: Installation, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "worker"
    for each in (home, folder):
        each.mkdir()

    with _gathered(folder, with_steps) as root:
        found = with_steps.sweep(home, *_changed_root(root))

    assert {_package(name) for name in found["failed"]} == IN_NO_LOCK
    assert not any(found["executors"].values()), found["executors"]
    assert found["foreign"] == []


def _begin(
    engine: DockerEngine, installation: Installation, *words: str, network: str = "none", **env: str
) -> Container:
    """Start a Dagway command in a container with the same restrictions as in compose and Kubernetes."""
    settings = {"DAGWAY_DATA_DIR": "/data", "HOME": "/data", "TMPDIR": "/data", "PATH": "/usr/bin:/bin", **env}
    return engine.client.containers.run(
        "localhost/dagway:1",
        [str(installation.dagway), *words],
        detach=True,
        user="10001:10001",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode=network,
        tmpfs={"/data": "uid=10001,gid=10001,mode=0750"},
        working_dir="/data",
        environment=settings,
        mem_limit="256m",
    )


def _end(*containers: Container) -> None:
    """Stop the containers; check their exit codes and that they wrote only to their data folders."""
    for container in containers:
        container.kill("SIGTERM")
    for container in containers:
        assert container.wait(timeout=PATIENCE_S)["StatusCode"] == 0, container.logs().decode()[-2000:]
        assert container.diff() in (None, [])


def test_the_whole_system_runs_on_a_root_that_cannot_be_written(engine: DockerEngine, runtime: Installation) -> None:
    container = _begin(engine, runtime, "up")

    def ask(method: str, path: str, body: Any = None) -> Any:
        text = json.dumps(body) if body is not None else ""
        code, said = container.exec_run([str(runtime.python), "-c", _ASK, method, path, text])
        assert isinstance(said, bytes)
        assert code == 0, f"{said.decode()}\n{container.logs().decode()[-2000:]}"
        return json.loads(said) if said else None

    eventually(lambda: ask("GET", "/api/v2/health"), every_s=0.2)
    ask("POST", "/api/v2/dags", {"name": "inside", "spec": _SPEC})
    ask("POST", "/api/v2/dags/inside/start", {"dagRunId": "r1"})
    run = eventually(lambda: _ended(ask("GET", "/api/v2/dag-runs/inside/r1")), every_s=0.2)

    assert run["statusLabel"] == "succeeded", run
    assert ask("GET", "/api/v2/dag-runs/inside/r1/outputs")["outputs"] == {"who": "user 10001"}
    _end(container)


def test_every_service_runs_in_a_container_of_its_own(
    engine: DockerEngine, runtime: Installation, rabbit_server: RabbitServer, postgres_server: PostgresServer
) -> None:
    urls, broker, port = new_database(postgres_server), rabbit_server.create_vhost(), free_port()
    # The host's network, since the servers listen on its loopback.
    begin = partial(_begin, engine, runtime, network="host", DAGWAY_HOST="127.0.0.1")
    _done(begin("migrate", DAGWAY_DATABASE_URL=urls["owner"]))
    give_roles(postgres_server, urls)
    api = begin(
        "api",
        DAGWAY_DATABASE_URL=urls["api"],
        DAGWAY_AMQP_URL=broker,
        DAGWAY_PORT=str(port),
        **signing_settings("api"),
    )
    scheduler = begin(
        "scheduler",
        DAGWAY_DATABASE_URL=urls["scheduler"],
        DAGWAY_AMQP_URL=broker,
        **signing_settings("scheduler"),
    )
    worker = begin("worker", DAGWAY_AMQP_URL=broker, **signing_settings("worker"))
    client = Client([port])

    def healthy() -> None:
        logs = api.logs().decode()[-2000:]
        api.reload()
        if api.status == "exited":
            raise RuntimeError(logs)
        try:
            answer = client.once("GET", "/health")
            schedulers = client.once("GET", "/services/scheduler")
        except urllib3.exceptions.HTTPError as error:
            raise AssertionError(f"{error}\n{logs}") from error
        assert (answer.status, answer.json["status"]) == (200, "healthy"), logs
        # Without one, a command is accepted and not carried out yet.
        assert schedulers.json["schedulers"], scheduler.logs().decode()[-2000:]

    eventually(healthy, every_s=0.2)
    client.create("inside", _SPEC)
    client.start("inside")
    client.until("succeeded", "inside")
    assert client.outputs("inside") == {"who": "user 10001"}
    client.close()
    _end(api, worker, scheduler)


def _done(container: Container) -> None:
    assert container.wait(timeout=PATIENCE_S)["StatusCode"] == 0, container.logs().decode()[-2000:]


def _ended(answer: Any) -> Any:
    details = answer["dagRunDetails"]
    assert details["statusLabel"] != "running"
    return details
