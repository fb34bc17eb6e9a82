"""The file system that the image is made of: gathered here, begun by a real engine, and small."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import ROOT
from tests.harness.engines import DockerEngine
from tests.harness.eventually import eventually
from tests.harness.needs import need

_MOST_BYTES = 90_000_000
"""For Dagway and all it imports, without byte code. With that, Debian's Python, a shell and its tools the image has
148 MB; the Python that a test runs in may be a larger one."""
_SCRIPT = ROOT / "deploy" / "image" / "rootfs.py"
_ASK = """
import json, sys, urllib.request as web
method, path, body = sys.argv[1:]
request = web.Request(f"http://127.0.0.1:8080{path}", body.encode() or None, {"Content-Type": "application/json"})
request.method = method
sys.stdout.write(web.urlopen(request, timeout=10).read().decode())
"""


def _install(application: Path) -> None:
    """Make a virtual environment of the locked packages and of Dagway, from the one this test runs in."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(application)], check=True)
    (site,) = application.glob("lib/python3*/site-packages")
    locked = [line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    for name in locked:
        try:
            files = importlib.metadata.distribution(name.strip()).files or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for file in files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), site / file)
    for package in ("dagway", "services", "shared"):
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    about = next(Path(sys.prefix).glob("lib/python3*/site-packages/dagway-*.dist-info"))
    shutil.copytree(about, site / about.name)
    command = application / "bin" / "dagway"
    command.write_text(f"#!{application}/bin/python\nfrom services.cli import main\nmain()\n")
    command.chmod(0o755)


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another user")
    made = tmp_path_factory.mktemp("image") / "dagway"
    _install(made)
    return made


@pytest.fixture(scope="module")
def root(application: Path) -> Path:
    made = application.parent / "rootfs"
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
    subprocess.run([sys.executable, str(_SCRIPT), str(application), str(made)], env=env, check=True)
    return made


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


def test_it_is_small(root: Path, application: Path) -> None:
    inside = root / application.relative_to("/")

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


def test_the_whole_system_runs_on_a_root_that_cannot_be_written(engine: DockerEngine, application: Path) -> None:
    python = f"{application}/bin/python"
    container = engine.client.containers.run(
        "localhost/dagway:1",
        [f"{application}/bin/dagway", "up"],
        detach=True,
        user="10001:10001",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
        tmpfs={"/data": "uid=10001,gid=10001,mode=0750"},
        working_dir="/data",
        environment={"DAGWAY_DATA_DIR": "/data", "HOME": "/data", "TMPDIR": "/data", "PATH": "/usr/bin:/bin"},
        mem_limit="256m",
    )

    def ask(method: str, path: str, body: Any = None) -> Any:
        text = json.dumps(body) if body is not None else ""
        code, said = container.exec_run([python, "-c", _ASK, method, path, text])
        assert isinstance(said, bytes)
        assert code == 0, f"{said.decode()}\n{container.logs().decode()[-2000:]}"
        return json.loads(said) if said else None

    eventually(lambda: ask("GET", "/api/v2/health"), timeout_s=30, every_s=0.2)
    spec = (
        "steps:\n  - command: id -u | sed 's/^/user /'\n    output: WHO\n  - touch /here 2>/dev/null || echo kept out\n"
    )
    ask("POST", "/api/v2/dags", {"name": "inside", "spec": spec})
    ask("POST", "/api/v2/dags/inside/start", {"dagRunId": "r1"})
    run = eventually(lambda: _ended(ask("GET", "/api/v2/dag-runs/inside/r1")), timeout_s=20, every_s=0.2)

    assert run["statusLabel"] == "succeeded", run
    assert ask("GET", "/api/v2/dag-runs/inside/r1/outputs")["outputs"] == {"who": "user 10001"}
    assert container.diff() in (None, [])
    container.stop(timeout=20)
    assert container.wait()["StatusCode"] == 0


def _ended(answer: Any) -> Any:
    details = answer["dagRunDetails"]
    assert details["statusLabel"] != "running"
    return details
