"""What a step with a user of its own leaves: files that only this user can remove, and processes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.process.folder_emptier import FolderEmptier
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_connection import Process
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser, StepUsers
from shared.ids import new_token
from tests.harness.cluster import gone
from tests.harness.eventually import eventually
from tests.security.conftest import FIRST_UID, WORKER_UID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have files of several users")

_REMOVER = """
import sys, time
sys.path[:0] = {packages}
from pathlib import Path
from services.worker.run_files import RunFiles

RunFiles(Path(sys.argv[1]), 7, lambda uid, folder: print(uid, folder.name)).remove_old(time.time() + 60)
"""


@pytest.fixture
def place(open_folder: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture(params=[False, True], ids=["kernel", "portable"])
def guardian(request: pytest.FixtureRequest) -> Iterator[GuardianClient]:
    client = GuardianClient("leftovers", lambda: None, GuardianProcess(portable=request.param))
    yield client
    client.close()


@pytest.fixture
def emptier(open_folder: Path, guardian: GuardianClient) -> FolderEmptier:
    users = StepUsers(StepUser(FIRST_UID, FIRST_UID), 10, [open_folder], guardian.release)
    return FolderEmptier(guardian, users)


def _made_by(uid: int, folder: Path, mode: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    for each in (folder / "file", folder):
        os.chown(each, uid, uid)
    folder.chmod(mode)
    return folder


def test_a_folder_is_emptied_by_its_owner_and_by_nobody_with_more_rights(emptier: FolderEmptier, place: Path) -> None:
    uid = FIRST_UID + 3
    outer = _made_by(uid, place / "outer", 0o700)
    _made_by(uid, outer / "closed", 0o000)
    theirs = _made_by(uid + 1, outer / "of-another", 0o700)
    (outer / "link").symlink_to(_made_by(uid, place / "elsewhere", 0o755))

    emptier(uid, outer)
    emptier(0, place / "elsewhere")

    assert [each.name for each in outer.iterdir()] == ["of-another"]
    assert (theirs / "file").exists()
    assert (place / "elsewhere/file").exists()


def _removed(data: Path, interpreter: str) -> list[str]:
    """Remove all runs as the worker's user; return what it wants to have emptied."""
    packages = [each for each in sys.path if each.endswith("site-packages") or Path(each, "services").is_dir()]
    argv = [interpreter, "-I", "-c", _REMOVER.replace("{packages}", repr(packages)), str(data)]
    done = subprocess.run(
        argv, user=WORKER_UID, group=WORKER_UID, extra_groups=[], cwd="/", capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return sorted(done.stdout.splitlines())


def test_a_worker_has_emptied_what_it_cannot_remove(open_folder: Path, interpreter: str) -> None:
    data = open_folder / "data"
    run = _made_by(WORKER_UID, data / "runs/d/r", 0o700)
    _made_by(FIRST_UID, run / "closed", 0o700)
    _made_by(FIRST_UID + 1, _made_by(WORKER_UID, run / "own", 0o700) / "deep", 0o755)
    for folder in (data, data / "runs", data / "runs/d"):
        os.chown(folder, WORKER_UID, WORKER_UID)

    assert _removed(data, interpreter) == [f"{FIRST_UID} closed", f"{FIRST_UID + 1} deep"]
    (left,) = (data / ".removed").iterdir()
    assert sorted(each.name for each in left.iterdir()) == ["closed", "own"]


def test_a_step_with_the_workers_user_can_close_no_folder_to_it(open_folder: Path, interpreter: str) -> None:
    """As the cache of Go's modules is, for one."""
    data = open_folder / "closed"
    run = _made_by(WORKER_UID, data / "runs/d/r", 0o700)
    _made_by(WORKER_UID, _made_by(WORKER_UID, run / "kept", 0o700) / "read-only", 0o555)
    _made_by(WORKER_UID, run / "closed", 0o000)
    for folder in (data, data / "runs", data / "runs/d"):
        os.chown(folder, WORKER_UID, WORKER_UID)

    assert not _removed(data, interpreter)
    assert not (data / ".removed").exists()


def _spawned(guardian: GuardianClient, text: str, user: StepUser | None) -> Process:
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        return guardian.spawn(
            ["/bin/sh", "-c", text],
            env={},
            cwd="/",
            stdout=nothing,
            stderr=nothing,
            attempt=new_token(),
            on_end=lambda _: None,
            user=user,
        )
    finally:
        os.close(nothing)


def test_what_a_killed_spawner_leaves_is_killed(guardian: GuardianClient, place: Path) -> None:
    folder = _made_by(FIRST_UID, place / "own", 0o755)
    text = f"setsid sh -c 'echo $$ > {folder}/pid; exec sleep 1040' & sleep 1041"
    _spawned(guardian, text, StepUser(FIRST_UID, FIRST_UID))
    eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"))
    left = int((folder / "pid").read_text())
    # Makes the guardian look at all processes now.
    _spawned(guardian, "true", None).kill_tree()
    shell = _parent(left)

    os.kill(_parent(shell), signal.SIGKILL)

    eventually(lambda: gone(left) and gone(shell))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
