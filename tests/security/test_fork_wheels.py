"""A process that forks and ends, again and again: none of its processes lives long enough to be found and killed.

So all processes of its user are killed at once, and nothing else.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser
from tests.harness.cluster import gone, pid_in
from tests.harness.eventually import eventually
from tests.security.conftest import FIRST_UID, start_as

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start steps of several users")

_USER = StepUser(FIRST_UID, FIRST_UID)
_WHEEL = """
import os, resource, sys, time
resource.setrlimit(resource.RLIMIT_NPROC, (500, 500))  # those that nobody reaps count too
folder = sys.argv[1]
with open(folder + "/spawner", "w") as file:
    print(os.getppid(), file=file)
if os.fork():
    sys.exit()
end = time.monotonic() + 60
while time.monotonic() < end and not os.path.exists(folder + "/end"):
    if os.fork():
        os._exit(0)
    os.setsid()
    os.utime(folder + "/turns")
"""


@pytest.fixture
def guardian() -> Iterator[GuardianClient]:
    client = GuardianClient("wheels", lambda: None, GuardianProcess())
    yield client
    client.close()


@pytest.fixture
def turning(guardian: GuardianClient, open_folder: Path, interpreter: str) -> Iterator[Path]:
    """The folder of a wheel that turns: ``turns`` is touched at each turn. It ends with the test."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    (folder / "turns").touch()
    for each in (folder, folder / "turns"):
        os.chown(each, _USER.uid, _USER.gid)
    _run(guardian, [interpreter, "-I", "-S", "-c", _WHEEL, str(folder)], _USER)
    eventually(lambda: _turns(folder))
    yield folder
    (folder / "end").touch()


def _run(guardian: GuardianClient, argv: list[str], user: StepUser) -> None:
    ended = start_as(guardian, argv, user)
    assert eventually(ended.done)
    assert ended.result().result().code == 0


def _turns(folder: Path) -> bool:
    before = (folder / "turns").stat().st_mtime_ns
    try:
        return bool(eventually(lambda: (folder / "turns").stat().st_mtime_ns != before, timeout_s=2))
    except AssertionError:
        return False


def test_a_wheel_ends_before_the_next_run_has_its_user(guardian: GuardianClient, turning: Path) -> None:
    assert guardian.release(_USER)

    assert not _turns(turning)


def test_a_wheel_whose_spawner_was_killed_ends_and_holds_up_no_other_run(
    guardian: GuardianClient, turning: Path
) -> None:
    os.kill(pid_in(turning / "spawner"), signal.SIGKILL)

    _run(guardian, ["/bin/true"], StepUser(_USER.uid + 1, _USER.gid + 1))
    eventually(lambda: not _turns(turning))


def test_what_another_worker_on_this_host_runs_with_the_same_user_goes_on(
    guardian: GuardianClient, open_folder: Path
) -> None:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o777)
    another = GuardianClient("another", lambda: None, GuardianProcess())
    try:
        ended = start_as(another, ["/bin/sh", "-c", f"echo $$ > {folder}/pid; exec sleep 1043"], _USER)
        pid = pid_in(folder / "pid")
        _run(guardian, ["/bin/true"], _USER)

        assert guardian.release(_USER)

        assert not gone(pid)
        assert not ended.done()
    finally:
        another.close()
