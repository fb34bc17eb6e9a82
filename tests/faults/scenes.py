"""One scene per type of step: a step that does not end by itself, and checks for what it has left behind.

``middle`` checks that the step is in the middle of its work, ``clean`` that nothing of it is left at the server that it
connected to; both are false or raise AssertionError until then. The test itself checks for processes and files of the
worker, which every type of step could leave behind.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.contracts.follow_ups import FOLLOW_UP, FollowUp, Mail
from shared.contracts.tasks import Task
from shared.language.model import MailSettings, Step, StepCommand
from tests.harness.cluster import everything_below, gone
from tests.harness.counterparts import HttpCounterpart, MailCounterpart, SshCounterpart, fake_act
from tests.harness.engines import IMAGE, Engine
from tests.harness.worker_rig import script, task

__all__ = ["IN_CONTAINERS", "SCENES", "Scene", "Stage", "package"]

_HOLD = "sleep 600 & echo $! > {0}/child; setsid sleep 600 & echo $! > {0}/hidden; echo $$ > {0}/pid; wait"
_SMTP = {"host": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Stage:
    """What scenes run on: a worker's folder, its temporary files, a container engine."""

    folder: Path
    engine: Engine

    def run_dir(self, name: str) -> Path:
        """Return the default directory of the steps of a scene's run."""
        path = self.folder / "worker" / "runs" / "d" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def own_dir(self, name: str) -> Path:
        """Return a directory for files that a scene leaves on purpose."""
        path = self.folder / "scenes" / name
        path.mkdir(parents=True)
        return path

    def files(self) -> set[Path]:
        """Return all files in the directories of runs and in the folder for temporary files."""
        places = (self.folder / "worker" / "runs", self.folder / "tmp")
        return {path for place in places for path in everything_below(place)}

    def task(self, name: str, step: Step, **facts: Any) -> Task:
        run = {"run_key": f"d/{name}", "dag_run_id": name, "root_dag_run_id": name}
        return task(step, token=name, stop_grace_s=1, **{**run, **facts})


@dataclass(frozen=True, slots=True)
class Scene:
    step: Step
    middle: Callable[[], object]
    clean: Callable[[], object]
    facts: dict[str, Any] = field(default_factory=dict)
    """Further fields of the scene's task."""
    alone: Callable[[], object] | None = None
    """For a step whose run needs a cleanup at its end: whether the step itself has left nothing behind."""
    follow_up: FollowUp | None = None
    """The cleanup at the end of the run."""


class _Held:
    """The processes that have written their ids into a folder."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._paths = [folder / name for name in names or ("pid", "child", "hidden")]

    def there(self) -> bool:
        return all(path.exists() and path.read_text().endswith("\n") for path in self._paths)

    def gone(self) -> bool:
        return all(gone(int(path.read_text())) for path in self._paths)


def _at_work_in(folder: Path) -> list[str]:
    """Return the processes whose current directory is ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
        except OSError:
            continue
    return found


def _unheard(port: int) -> bool:
    """Whether no process has an open or half-closed connection to a local port."""
    end = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if (local.endswith(end) or remote.endswith(end)) and state in ("01", "08"):
            return False
    return True


@contextmanager
def _command(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.own_dir(name)
    held = _Held(folder)
    step = Step(name="s", commands=(StepCommand(text=_HOLD.format(folder)),))
    yield Scene(step, held.there, held.gone)


@contextmanager
def _script(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.own_dir(name)
    held = _Held(folder)
    yield Scene(script(_HOLD.format(folder)), held.there, held.gone)


@contextmanager
def _http(stage: Stage, name: str) -> Iterator[Scene]:
    with HttpCounterpart() as server:
        words = ("GET", f"{server.url}/drip")
        step = Step(name="s", type="http", commands=(StepCommand(text=" ".join(words), argv=words),))
        yield Scene(step, server.dripping.is_set, lambda: server.broken.is_set() and _unheard(server.port))


@contextmanager
def _chat(stage: Stage, name: str) -> Iterator[Scene]:
    with HttpCounterpart() as server:
        llm = {"provider": "local", "model": "m", "baseURL": f"{server.url}/v1"}
        step = Step(name="s", type="chat", llm=llm, messages=({"role": "user", "content": "HANG"},))
        yield Scene(step, server.dripping.is_set, lambda: server.broken.is_set() and _unheard(server.port))


@contextmanager
def _jq(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.run_dir(name)
    step = Step(name="s", type="jq", commands=(StepCommand(text="last(range(1e12))"),), script="1")
    yield Scene(step, lambda: _at_work_in(folder) != [], lambda: _at_work_in(folder) == [])


@contextmanager
def _archive(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.run_dir(name)
    with (folder / "big").open("wb") as file:
        file.truncate(30_000_000_000)
    config = {"source": "big", "destination": "out.tar.xz"}
    step = Step(name="s", type="archive", commands=(StepCommand(text="create"),), config=config)
    yield Scene(step, lambda: list(folder.glob(".*.part")) != [], lambda: _at_work_in(folder) == [])


@contextmanager
def _ssh(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.own_dir(name)
    (folder / "sshd").mkdir()
    held = _Held(folder)
    with SshCounterpart(folder / "sshd") as host:
        config = {"host": "127.0.0.1", "port": host.port, "user": host.user, "key": str(host.locked), "shell": "sh"}
        config |= {"password": host.passphrase, "knownHostFile": str(host.known_hosts)}
        step = Step(name="s", type="ssh", commands=(StepCommand(text=_HOLD.format(folder)),), config=config)
        yield Scene(step, held.there, lambda: held.gone() and _unheard(host.port))


@contextmanager
def _mail(stage: Stage, name: str) -> Iterator[Scene]:
    step = Step(name="s", type="mail", config={"from": "a@x.org", "to": "b@x.org", "subject": "s", "message": "m"})
    with _waiting_for_mail() as server:
        facts = {"options": {"smtp": {**_SMTP, "port": str(server.port)}}}
        yield Scene(step, server.waiting.is_set, lambda: _unheard(server.port), facts)
        assert server.mails.empty()


@contextmanager
def _mail_follow_up(stage: Stage, name: str) -> Iterator[Scene]:
    mail = Mail(id="m", settings=MailSettings(sender="a@x.org", to=("b@x.org",)), status="failed", nodes=())
    with _waiting_for_mail() as server:
        follow_up = FollowUp(smtp={**_SMTP, "port": str(server.port)}, mails=(mail,))
        facts = {"kind": FOLLOW_UP, "options": {FOLLOW_UP: follow_up.model_dump(mode="json")}}
        yield Scene(Step(name="follow-up"), server.waiting.is_set, lambda: _unheard(server.port), facts)
        assert server.mails.empty()


@contextmanager
def _waiting_for_mail() -> Iterator[MailCounterpart]:
    with MailCounterpart(None) as server:
        server.taking.clear()
        yield server
        server.taking.set()


def _in_container(container: Any = None) -> Step:
    words = ("sh", "-c", "sleep 600 & wait")
    commands = (StepCommand(text=" ".join(words), argv=words),)
    return Step(name="s", type="docker", commands=commands, container=container)


@contextmanager
def _docker_run(stage: Stage, name: str) -> Iterator[Scene]:
    def made() -> list[str]:
        return stage.engine.names(label=f"dagway.run={name}")

    def running() -> bool:
        return len(made()) == 1 and len(stage.engine.running(made()[0])) == 2

    yield Scene(_in_container({"image": IMAGE}), running, lambda: made() == [])


@contextmanager
def _docker_exec(stage: Stage, name: str) -> Iterator[Scene]:
    theirs = f"theirs-{name}"
    stage.engine.client.containers.run(IMAGE, ["sleep", "601"], name=theirs, detach=True)

    def running() -> list[str]:
        return stage.engine.running(theirs)

    yield Scene(_in_container(theirs), lambda: len(running()) == 3, lambda: running() == ["sleep 601"])


@contextmanager
def _dags_container(stage: Stage, name: str) -> Iterator[Scene]:
    box = {"image": IMAGE, "pullPolicy": "never"}
    shared = f"dagway-run-d-{name}"

    def commands() -> list[str]:
        if shared not in stage.engine.names():
            return []
        return [command for command in stage.engine.running(shared) if "sleep 600" in command]

    yield Scene(
        _in_container(),
        lambda: len(commands()) == 2,
        lambda: shared not in stage.engine.names(),
        {"options": {"container": box}},
        alone=lambda: commands() == [],
        follow_up=FollowUp(container=box),
    )


@contextmanager
def _gha(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.own_dir(name)
    copy = f'for last; do :; done; cp "$last" {folder}/part; mv {folder}/part {folder}/flow; '
    path = fake_act(folder, copy + _HOLD.format(folder))
    held = _Held(folder)

    def of_action() -> list[str]:
        prefix = f"act-{json.loads((folder / 'flow').read_text())['name']}"
        return [one for one in stage.engine.names() if one.startswith(prefix)]

    def middle() -> bool:
        """Create the container that ``act`` would have created."""
        if not held.there():
            return False
        if of_action() == []:
            container = f"act-{json.loads((folder / 'flow').read_text())['name']}-step-1"
            stage.engine.client.containers.run(IMAGE, ["sleep", "601"], name=container, detach=True)
        return True

    step = Step(name="s", type="gha", commands=(StepCommand(text="actions/checkout@v4"),))
    yield Scene(step, middle, lambda: held.gone() and of_action() == [], {"env": (("PATH", path),)})


_LASTING = """\
from dagway.executors import make_result

class LastingExecutor:
    def run(self, job, io):
        half = job.working_dir / "half"
        with job.supervisor.cleanup(files=[str(half)]):
            half.write_text("half of it")
            try:
                job.supervisor.run(
                    ["sh", "-c", job.step.config["text"]],
                    env=job.environment.process, cwd=str(job.working_dir), stdout=io.stdout, stderr=io.stderr,
                )
            finally:
                half.unlink()
        return make_result(job)
"""


def package(folder: Path) -> None:
    """Write a package with an executor plugin to a folder, as an installer would."""
    info = folder / "dagway_lasting-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "lasting.py").write_text(_LASTING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dagway-lasting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dagway.executors]\nlasting = lasting:LastingExecutor\n")


@contextmanager
def _of_a_package(stage: Stage, name: str) -> Iterator[Scene]:
    folder = stage.own_dir(name)
    half = stage.run_dir(name) / "half"
    held = _Held(folder)
    step = Step(name="s", type="lasting", config={"text": _HOLD.format(folder)})
    yield Scene(step, lambda: held.there() and half.exists(), held.gone)


SCENES: dict[str, Callable[[Stage, str], AbstractContextManager[Scene]]] = {
    "command": _command,
    "script": _script,
    "http": _http,
    "chat": _chat,
    "jq": _jq,
    "archive": _archive,
    "ssh": _ssh,
    "mail": _mail,
    "mail-follow-up": _mail_follow_up,
    "docker-run": _docker_run,
    "docker-exec": _docker_exec,
    "dags-container": _dags_container,
    "gha": _gha,
    "of-a-package": _of_a_package,
}
IN_CONTAINERS = ("docker-run", "docker-exec", "dags-container", "gha")
