"""What a step can reach: nothing of its worker's secrets and, if steps have users of their own, nothing of other runs.

A run called ``victim`` and Dagway itself hold canaries; a step of the run ``spy`` looks for them in all that Linux lets
it read. The tests run Dagway without root, and so work for a developer too; those of other users need root.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster import Embedded, descendants, gone, pid_in
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.security.conftest import FIRST_UID, STEP_USERS, WORKER_UID

_NONCE = "8f1c62d05b7e493aa1d4c0ffee123456"
OF_DAGWAY = {
    "tokensecret": "DAGWAY_AUTH_TOKEN_SECRET",
    "adminpassword": "DAGWAY_AUTH_ADMIN_PASSWORD",
    "clientsecret": "DAGU_AUTH_OIDC_CLIENT_SECRET",
    "nodes": "DAGWAY_REMOTE_NODES_FILE",
}
"""Canaries in the settings of Dagway itself: one under Dagu's name of the setting, and one in a file."""
OF_RUN = {"environ", "memory", "descriptor", "log", "folder"}
"""Canaries that the run ``victim`` holds; one more is in the spool."""
ALL = {*OF_DAGWAY, *OF_RUN, "spool"}


def _canary(name: str) -> str:
    return f"CANARY-{name}-{_NONCE}"


def _settings() -> dict[str, str]:
    variables = {variable: _canary(name) for name, variable in OF_DAGWAY.items() if name != "nodes"}
    return {"DAGWAY_AUTH_MODE": "none"} | variables


def _nodes_file(folder: Path) -> Path:
    """Write the canary ``nodes`` to a file that Dagway may read, whether it begins as root or not."""
    node = {"name": "far", "apiBaseURL": "http://127.0.0.1:9", "isAuthToken": True, "authToken": _canary("nodes")}
    path = folder / "nodes.json"
    path.write_text(json.dumps([node]))
    path.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(path, 0, WORKER_UID)
    return path


def _victim(pid_file: Path, interpreter: str) -> str:
    """Return a DAG whose step holds a canary in each of its places, and writes its pid when all are there."""
    python = (
        "import os, tempfile, time; held = tempfile.TemporaryFile(); "
        f"held.write(b'{_canary('descriptor')}'); held.flush(); text = '{_canary('memory')}'.lower().upper(); "
        f"file = open('{pid_file}', 'w'); file.write(str(os.getpid()) + chr(10)); file.close(); time.sleep(600)"
    )
    return (
        f"env:\n  - HELD: {_canary('environ')}\nsteps:\n  - name: hold\n    script: |\n"
        f"      echo {_canary('log')}\n      echo {_canary('folder')} > kept.txt\n"
        f"      exec {interpreter} - <<'END'\n      {python}\n      END\n"
    )


@dataclass(frozen=True)
class Scene:
    """A running ``dagway up`` with a victim, and a step that may look for canaries."""

    system: Embedded
    folder: Path
    interpreter: str
    victim: int
    numbers: Iterator[int]

    @property
    def dagway(self) -> int:
        return self.system.process.pid

    @property
    def guardian(self) -> int:
        return int(Path(f"/proc/{self.dagway}/task/{self.dagway}/children").read_text().split()[0])

    def run(self, spec: str, status: str = "succeeded") -> tuple[str, dict[str, Any]]:
        """Run a DAG to its end; return its name and details."""
        name = f"dag-{next(self.numbers)}"
        self.system.client.create(name, spec)
        self.system.client.start(name)
        return name, self.system.client.until(status, name)

    @property
    def places(self) -> str:
        """The data folder, and the folders in it that a step may not be able to list but can guess."""
        data = self.system.data_dir
        guessed = ("worker/spool", "worker/runs/victim/r1", "worker/logs/victim/r1")
        return ":".join(map(str, [data, *(data / name for name in guessed)]))

    def spy(self) -> tuple[set[str], set[int]]:
        """Return the canaries that a step finds, and the pids below Dagway that it may signal."""
        words = f"{self.interpreter} {self.folder}/spy.py {self.places} {self.dagway}"
        name, _ = self.run(f"steps:\n  - name: look\n    command: {words}\n")
        said = json.loads(self.system.client.text(name, "r1", "look"))
        return set(said["found"]), set(said["signal"])


def _start(folder: Path, program: Path, interpreter: str, user: int | None, **env: str) -> Iterator[Scene]:
    shutil.copy(Path(__file__).with_name("spy.py"), folder / "spy.py")
    (folder / "spy.py").chmod(0o644)
    notes = folder / "notes"
    notes.mkdir()
    notes.chmod(0o777)
    place = folder / "up"
    place.mkdir()
    place.chmod(0o711)
    if os.geteuid() == 0:
        os.chown(place, WORKER_UID, WORKER_UID)
    env["DAGWAY_REMOTE_NODES_FILE"] = str(_nodes_file(folder))
    with Embedded(place, user=user, env=_settings() | env, program=program) as system:
        spool = system.data_dir / "worker" / "spool" / "waiting.bad"
        eventually(spool.parent.is_dir)  # the worker of `dagway up` starts beside the gateway
        spool.write_text(_canary("spool"))
        if os.geteuid() == 0:
            os.chown(spool, WORKER_UID, WORKER_UID)
        spool.chmod(0o600)
        system.client.create("victim", _victim(notes / "pid", interpreter))
        system.client.start("victim")
        victim = pid_in(notes / "pid")
        yield Scene(system, folder, interpreter, victim, iter(range(1000)))
        system.client.ask("POST", "/dag-runs/victim/r1/stop")
        system.client.until("aborted", "victim")


@pytest.fixture(scope="module")
def shared_user(open_folder: Path, program: Path, interpreter: str, unprivileged: int | None) -> Iterator[Scene]:
    """Steps have the user of Dagway itself."""
    folder = open_folder / "shared"
    folder.mkdir()
    folder.chmod(0o711)
    yield from _start(folder, program, interpreter, unprivileged)


@pytest.fixture(scope="module")
def own_users(open_folder: Path, confined_program: Path, interpreter: str) -> Iterator[Scene]:
    """Each run has a user of its own."""
    folder = open_folder / "own"
    folder.mkdir()
    folder.chmod(0o711)
    users = {"DAGWAY_STEP_USER": STEP_USERS, "DAGWAY_WORKER_USER": str(WORKER_UID)}
    yield from _start(folder, confined_program, interpreter, None, **users)


def test_a_step_with_the_users_own_uid_finds_no_secret_of_dagway(shared_user: Scene) -> None:
    found, _ = shared_user.spy()

    assert found & OF_DAGWAY.keys() == set()
    # The spy works: it finds what steps of one user cannot keep from each other.
    assert found >= OF_RUN


def test_a_step_with_a_user_of_its_own_finds_no_canary_at_all(own_users: Scene) -> None:
    found, _ = own_users.spy()

    assert found == set()
    # The same spy finds all of them as root, so they are there; Dagway's own only in memory, not in its environment.
    words = [sys.executable, str(own_users.folder / "spy.py"), own_users.places, str(own_users.dagway)]
    said = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert set(said["found"]) == ALL
    assert _NONCE.encode() not in Path(f"/proc/{own_users.dagway}/environ").read_bytes()


def test_a_step_with_a_user_of_its_own_can_signal_neither_dagway_nor_other_runs(own_users: Scene) -> None:
    _, may_signal = own_users.spy()

    assert not may_signal & {own_users.dagway, own_users.guardian, own_users.victim}
    # Its own shell, and the spawner of its user.
    assert may_signal


def test_a_step_that_kills_all_it_can_ends_only_its_own_run(own_users: Scene) -> None:
    _, details = own_users.run("steps:\n  - name: amok\n    command: kill -9 -1\n", status="failed")

    assert details["nodes"][0]["statusLabel"] == "failed"
    assert own_users.run("steps:\n  - command: echo fine\n")
    os.kill(own_users.victim, 0)
    os.kill(own_users.guardian, 0)


def test_a_step_with_a_user_of_its_own_works_as_usual(own_users: Scene) -> None:
    """It writes to its folder and streams, and reads its logs and those of the steps before it.

    A worker writes what a step prints to the log a moment later.
    """
    name, _ = own_users.run(
        "steps:\n"
        "  - name: one\n    id: one\n    script: |\n"
        '      id -u; umask; echo early > /dev/stderr; echo "$HOME"\n'
        '      echo made > made.txt; mkdir -p sub; cat "$0" > sub/me\n'
        '      until test "$(grep -c . $DAG_RUN_STEP_STDOUT_FILE)" = 3; do sleep 0.1; done; test -r $DAG_RUN_LOG_FILE\n'
        "    stdout: copy.txt\n"
        "  - name: two\n    workingDir: sub\n    command: cat ../made.txt ../copy.txt me ${one.stdout}\n"
        "  - name: three\n    workingDir: fresh/below\n    command: touch here && cat /proc/self/status\n"
    )
    client = own_users.system.client
    uid, umask, home = client.text(name, "r1", "one").split()
    assert int(uid) in range(FIRST_UID, FIRST_UID + 50)
    assert umask == "0027"
    assert Path(home) == own_users.system.data_dir / "worker" / "runs" / name / "r1"
    assert "made" in client.text(name, "r1", "two")
    assert client.text(name, "r1", "two").count(uid) == 2
    text = client.text(name, "r1", "three")
    assert _rights(text) == {"Uid": uid, "CapPrm": "0", "CapEff": "0", "CapAmb": "0", "NoNewPrivs": "1"}
    status = dict(line.split(":", 1) for line in text.splitlines())
    assert status["Uid"].split() == status["Gid"].split() == [uid] * 4
    assert status["Groups"].strip() == ""


def test_a_step_with_a_user_of_its_own_inherits_no_descriptor_and_no_setting(own_users: Scene) -> None:
    look = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    spec = f'steps:\n  - name: look\n    script: |\n      {own_users.interpreter} -c "{look}"\n      env\n'

    name, _ = own_users.run(spec)

    first, *variables = own_users.system.client.text(name, "r1", "look").splitlines()
    # The fourth is the listing itself.
    assert first == "['0', '1', '2', '3']"
    assert {line.split("=")[0] for line in variables if line.startswith("DAGWAY_")} == {"DAGWAY_ATTEMPT"}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("secrets:\n  - name: X\n    provider: file\n    key: {path}\n", "only the worker may read"),
        ("secrets:\n  - name: X\n    provider: file\n    key: /proc/self/status\n", "only the worker may read"),
        ("secrets:\n  - name: X\n    provider: file\n    key: {nodes}\n", "only the worker may read"),
        ("steps:\n  - command: echo x\n    stdout: {path}\n", "only the worker may read or write"),
        ("steps:\n  - command: echo x\n    stdout: {folder}/forged.json\n", "only the worker may read or write"),
    ],
)
def test_a_dag_cannot_have_the_worker_open_its_own_files(own_users: Scene, field: str, said: str) -> None:
    spool = own_users.system.data_dir / "worker" / "spool"
    spec = field.format(path=spool / "waiting.bad", folder=spool, nodes=own_users.folder / "nodes.json")
    spec += "" if "steps:" in spec else "steps:\n  - command: echo $X\n"

    _, details = own_users.run(spec, status="failed")

    assert said in json.dumps(details), details
    assert not (spool / "forged.json").exists()


def test_a_dotenv_file_of_another_run_is_not_read(own_users: Scene) -> None:
    other = own_users.system.data_dir / "worker" / "runs" / "victim" / "r1"
    (other / "vars").write_text(f"SEEN={_canary('folder')}\n")

    name, _ = own_users.run(f'dotenv: [{other}/vars]\nsteps:\n  - name: show\n    command: echo "<$SEEN>"\n')

    assert own_users.system.client.text(name, "r1", "show") == "<>"


@pytest.mark.parametrize("place", ["of-another-run", "of-its-own"])
def test_a_step_cannot_lead_logs_to_those_of_another_run(own_users: Scene, place: str) -> None:
    """The worker would open them by the name of a folder that a step has made, or may replace: here by a link."""
    client, logs = own_users.system.client, own_users.system.data_dir / "worker" / "logs"
    trap = own_users.folder / "notes" / "trap" if place == "of-another-run" else "."
    if place == "of-another-run":
        own_users.run(f"steps:\n  - command: mkdir -m 777 {trap} && ln -s {logs}/victim {trap}/{place}\n")
    lay = f"if test -e {place}; then mv {place} moved; ln -s {logs}/victim {place}; fi"
    steps = f"steps:\n  - name: lay\n    script: {lay}\n  - name: hold\n    command: echo mine\n"
    client.create(place, f"logDir: {trap}\n{steps}")
    client.start(place)
    client.until("succeeded", place)

    assert client.text(place, "r1", "hold") == "mine"
    assert (logs / "victim" / "r1" / "hold.1.out").read_text() == f"{_canary('log')}\n"
    assert (logs / place / "r1" / "hold.1.out").read_text() == "mine\n"


@pytest.mark.parametrize("kind", ["runs", "logs"])
def test_a_dag_cannot_make_the_folder_of_another_run_before_that_begins(own_users: Scene, kind: str) -> None:
    folder = own_users.system.data_dir / "worker" / kind / "later" / "r1"

    _, details = own_users.run(f"steps:\n  - workingDir: {folder}\n    command: touch mine\n", status="failed")

    assert "only the worker may read or write" in json.dumps(details)
    assert not folder.exists()


def test_processes_that_a_step_leaves_end_with_dagway(open_folder: Path, confined_program: Path) -> None:
    folder = open_folder / "left"
    folder.mkdir()
    folder.chmod(0o777)
    env = {"DAGWAY_STEP_USER": str(FIRST_UID), "DAGWAY_WORKER_USER": str(WORKER_UID)}
    with Embedded(folder, env=env, program=confined_program) as system:
        spec = f"steps:\n  - command: setsid sh -c 'echo $$ > {folder}/pid; exec sleep 600' & sleep 600\n"
        system.client.create("left", spec)
        system.client.start("left")
        left = pid_in(folder / "pid")
        assert Path(f"/proc/{left}").stat().st_uid == FIRST_UID
        family = list(descendants(system.process.pid))

        system.process.kill9()

        eventually(lambda: all(map(gone, [left, *family])))


def test_with_one_user_for_all_steps_dagway_itself_is_out_of_reach(
    open_folder: Path, capable_program: Path, interpreter: str
) -> None:
    """Dagway runs without root here, with the capabilities to change users. No step has them."""
    folder = open_folder / "one"
    folder.mkdir()
    folder.chmod(0o711)
    with contextmanager(_start)(folder, capable_program, interpreter, None, DAGWAY_STEP_USER=str(FIRST_UID)) as scene:
        found, may_signal = scene.spy()
        ours = {scene.dagway, scene.guardian}
        name, _ = scene.run("steps:\n  - name: show\n    command: cat /proc/self/status\n")
        of_step = _rights(scene.system.client.text(name, "r1", "show"))
        of_dagway = _rights(Path(f"/proc/{scene.dagway}/status").read_text())

    assert found == OF_RUN
    assert scene.victim in may_signal
    assert not may_signal & ours
    assert of_step == {"Uid": str(FIRST_UID), "CapPrm": "0", "CapEff": "0", "CapAmb": "0", "NoNewPrivs": "1"}
    assert of_dagway == {"Uid": str(WORKER_UID), "CapPrm": "0", "CapEff": "0", "CapAmb": "0", "NoNewPrivs": "0"}


def _rights(status: str) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in status.splitlines())
    caps = {name: f"{int(lines[name], 16):x}" for name in ("CapPrm", "CapEff", "CapAmb")}
    return {"Uid": lines["Uid"].split()[0], **caps, "NoNewPrivs": lines["NoNewPrivs"].strip()}


def test_a_worker_and_its_guardian_are_unreadable_for_their_own_user(
    open_folder: Path, program: Path, interpreter: str, unprivileged: int | None
) -> None:
    folder = open_folder / "worker"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("spy.py"), folder / "spy.py")
    if unprivileged is not None:
        os.chown(folder, unprivileged, unprivileged)
    url = f"amqp://worker:{_canary('brokerurl')}@127.0.0.1:{free_port()}/"
    env = {"DAGWAY_AMQP_URL": url, "DAGWAY_WORKER_ID": "w1", "DAGWAY_DATA_DIR": str(folder / "data")}
    with DagwayProcess("worker", folder=folder, env=env, program=program, user=unprivileged) as worker:
        worker.wait_output("worker.started")
        (guardian,) = eventually(lambda: _some(descendants(worker.pid)))
        words = [interpreter, str(folder / "spy.py"), str(folder / "data"), str(worker.pid)]
        groups: list[int] | None = None if unprivileged is None else []
        done = subprocess.run(
            words, capture_output=True, check=True, user=unprivileged, group=unprivileged, extra_groups=groups
        )
        said = json.loads(done.stdout)
        for pid in (worker.pid, guardian):
            assert Path(f"/proc/{pid}/environ").stat().st_uid == 0

    assert "brokerurl" not in said["found"]
    assert set(said["signal"]) >= {worker.pid, guardian}, "one user: it can still be signalled"


def _some(pids: Iterator[int]) -> list[int]:
    found = list(pids)
    assert found
    return found


def test_limits_of_steps_hold_and_are_named(open_folder: Path, program: Path, unprivileged: int | None) -> None:
    limits = {
        "DAGWAY_STEP_MAX_CPU_S": "1",
        "DAGWAY_STEP_MAX_OPEN_FILES": "77",
        "DAGWAY_STEP_MAX_MEMORY": "300m",
        "DAGWAY_STEP_MAX_PROCESSES": "900",
    }
    folder = open_folder / "limits"
    folder.mkdir()
    if unprivileged is not None:
        os.chown(folder, unprivileged, unprivileged)
    with Embedded(folder, user=unprivileged, env=limits, program=program) as system:
        scene = Scene(system, folder, "", 0, iter(range(10)))
        name, _ = scene.run("steps:\n  - name: show\n    command: cat /proc/self/limits\n")
        soft_and_hard = {
            line[4:26].strip(): line[26:].split()[:2] for line in system.client.text(name, "r1", "show").splitlines()
        }
        assert soft_and_hard["open files"] == ["77", "77"]
        assert soft_and_hard["data size"] == [str(300 << 20)] * 2
        assert soft_and_hard["processes"] == ["900", "900"]
        # The hard limit is set after the start, so it may be too late for this short process.
        assert soft_and_hard["cpu time"][0] == "1"
        assert soft_and_hard["core file size"] == ["0", "0"]
        _, details = scene.run("steps:\n  - command: while true; do true; done\n", status="failed")
        assert "DAGWAY_STEP_MAX_CPU_S" in details["nodes"][0]["error"]
