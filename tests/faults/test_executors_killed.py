"""A worker killed in the middle of each kind of step leaves nothing behind: looked at, not believed."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.contracts.errands import Errand, Mail
from shared.spec.model import Command, MailSettings, Step
from tests.harness.cluster import gone, pid_in
from tests.harness.counterparts import HttpCounterpart, MailCounterpart, SshCounterpart, fake_act
from tests.harness.doomed import DoomedWorker
from tests.harness.engines import IMAGE, DockerEngine
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.worker_rig import script, task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The worker's directory; temporary files go beside it."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "worker"


def doomed(folder: Path, step: Step, **facts: object) -> DoomedWorker:
    env = {**os.environ, "TMPDIR": str(folder.parent / "tmp")}
    return DoomedWorker(folder, task(step, token="t", **facts), env)


def left_files(folder: Path) -> list[str]:
    """Return what lies in the run's directory and among the temporary files."""
    run = folder / "runs" / "d" / "r1"
    return [path.name for place in (run, folder.parent / "tmp") for path in place.rglob("*")]


def test_a_script_and_its_background_children(folder: Path, tmp_path: Path) -> None:
    text = f"setsid sleep 60 & echo $! > {tmp_path}/child\necho $$ > {tmp_path}/pid\nwait"
    with doomed(folder, script(text)) as worker:
        pids = [pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")]
        assert left_files(folder) != []
        worker.kill()

        eventually(lambda: all(gone(pid) for pid in pids))
        eventually(lambda: left_files(folder) == [])


def test_an_http_request(folder: Path) -> None:
    with HttpCounterpart() as server:
        words = ("GET", f"{server.url}/drip")
        step = Step(name="s", type="http", commands=(Command(text=" ".join(words), argv=words),))
        with doomed(folder, step) as worker:
            assert server.dripping.wait(20)
            worker.kill()
            assert server.broken.wait(5)
            assert left_files(folder) == []


def test_a_chat(folder: Path) -> None:
    with HttpCounterpart() as server:
        llm = {"provider": "local", "model": "m", "baseURL": f"{server.url}/v1"}
        with doomed(
            folder, Step(name="s", type="chat", llm=llm, messages=({"role": "user", "content": "HANG"},))
        ) as worker:
            assert server.dripping.wait(20)
            worker.kill()
            assert server.broken.wait(5)


def test_a_filter_without_end(folder: Path) -> None:
    step = Step(name="s", type="jq", commands=(Command(text="last(range(1e12))"),), script="1")
    with doomed(folder, step) as worker:
        worker.until_running()
        worker.kill()

        eventually(lambda: worker.processes() == [])
        assert left_files(folder) == []


def test_half_an_archive(folder: Path) -> None:
    run = folder / "runs" / "d" / "r1"
    run.mkdir(parents=True)
    with (run / "big").open("wb") as file:
        file.truncate(3_000_000_000)
    config = {"source": "big", "destination": "out.tar.xz"}
    with doomed(folder, Step(name="s", type="archive", commands=(Command(text="create"),), config=config)) as worker:
        eventually(lambda: any(name.endswith(".part") for name in left_files(folder)))
        worker.kill()

        eventually(lambda: left_files(folder) == ["big"])
        assert worker.processes() == []


def test_a_command_on_another_host(folder: Path, tmp_path: Path) -> None:
    need("sshd")
    (tmp_path / "ssh").mkdir()
    with SshCounterpart(tmp_path / "ssh") as host:
        config = {"host": "127.0.0.1", "port": host.port, "user": host.user, "key": str(host.locked), "shell": "sh"}
        config |= {"password": host.passphrase, "knownHostFile": str(host.known_hosts)}
        text = f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait"
        step = Step(name="s", type="ssh", commands=(Command(text=text),), config=config)
        with doomed(folder, step) as worker:
            pids = [pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")]
            worker.kill()

            eventually(lambda: all(gone(pid) for pid in pids))
            eventually(lambda: left_files(folder) == [])
            assert worker.processes() == []


@pytest.mark.parametrize("kind", ["step", "errand"])
def test_a_mail(folder: Path, kind: str) -> None:
    with MailCounterpart(None) as server:
        server.taking.clear()
        smtp = {"host": "127.0.0.1", "port": str(server.port)}
        step = Step(name="s", type="mail", config={"from": "a@x.org", "to": "b@x.org", "subject": "s", "message": "m"})
        options: dict[str, object] = {"smtp": smtp}
        if kind == "errand":
            mail = Mail(id="m", settings=MailSettings(sender="a@x.org", to=("b@x.org",)), status="failed", nodes=())
            step, options = Step(name="errand"), {"errand": Errand(smtp=smtp, mails=(mail,)).model_dump(mode="json")}
        with doomed(folder, step, kind=kind, options=options) as worker:
            assert server.waiting.wait(20)
            worker.kill()
            server.taking.set()

            eventually(lambda: worker.processes() == [])
            assert left_files(folder) == []
        assert server.mails.empty()


def test_an_action(folder: Path, tmp_path: Path) -> None:
    path = fake_act(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait")
    step = Step(name="s", type="gha", commands=(Command(text="actions/checkout@v4"),))
    with doomed(folder, step, env=(("PATH", path),)) as worker:
        pids = [pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")]
        assert any(name.startswith(".dagway-gha-") for name in left_files(folder))
        worker.kill()

        eventually(lambda: all(gone(pid) for pid in pids))
        eventually(lambda: left_files(folder) == [])


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    need("dockerd")
    with tempfile.TemporaryDirectory(prefix="dwd") as place, DockerEngine(Path(place)) as made:
        yield made


@pytest.mark.parametrize("where", ["own", "theirs"])
def test_a_container(folder: Path, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    theirs = engine.client.containers.run(IMAGE, ["sleep", "99"], name="theirs", detach=True)
    words = ("sh", "-c", "sleep 60 & wait")
    commands = (Command(text=" ".join(words), argv=words),)
    box = "theirs" if where == "theirs" else {"image": IMAGE}
    with doomed(folder, Step(name="s", type="docker", commands=commands, container=box)) as worker:
        if where == "theirs":
            eventually(lambda: len(engine.running("theirs")) == 3)
        else:
            eventually(lambda: len(engine.client.containers.list()) == 2)
        worker.kill()

        eventually(lambda: engine.names() == ["theirs"])
        eventually(lambda: engine.running("theirs") == ["sleep 99"])
    theirs.remove(force=True)


def test_the_container_of_a_run(folder: Path, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    words = ("sh", "-c", "sleep 60 & wait")
    step = Step(name="s", type="container", commands=(Command(text=" ".join(words), argv=words),))
    with doomed(folder, step, options={"container": {"image": IMAGE, "pullPolicy": "never"}}) as worker:
        eventually(lambda: engine.names() == ["dagway-run-d-r1"])
        eventually(lambda: len(engine.running("dagway-run-d-r1")) > 2)
        worker.kill()

        eventually(lambda: engine.names() == [], timeout_s=20)


def test_the_containers_of_an_action(
    folder: Path, tmp_path: Path, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    text = f'for last; do :; done; cp "$last" {tmp_path}/part; mv {tmp_path}/part {tmp_path}/flow; sleep 60'
    path = fake_act(tmp_path, text)
    step = Step(name="s", type="gha", commands=(Command(text="actions/checkout@v4"),))
    with doomed(folder, step, env=(("PATH", path),)) as worker:
        eventually((tmp_path / "flow").exists)
        name = json.loads((tmp_path / "flow").read_text())["name"]
        engine.client.containers.run(IMAGE, ["sleep", "99"], name=f"act-{name}-step-1", detach=True)
        worker.kill()

        eventually(lambda: engine.names() == [], timeout_s=20)
