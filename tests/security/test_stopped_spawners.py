"""A step stops the process that starts the steps of its user (SIGSTOP): that then ends nothing and answers nobody."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest

from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_connection import GuardianLost
from services.worker.process.guardian_process import GuardianProcess
from services.worker.process.step_users import StepUser
from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.process.supervisor import Supervisor
from shared.ids import new_token
from tests.harness.cluster import gone, pid_in
from tests.harness.eventually import eventually
from tests.security.conftest import FIRST_UID, start_as

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start steps of several users")

T = TypeVar("T")
_USER = StepUser(FIRST_UID, FIRST_UID)
_STOPPER = """
echo $PPID > {folder}/spawner
setsid sh -c 'echo $$ > {folder}/left; until test -e {folder}/now; do sleep 0.05; done; kill -STOP {spawner}
while :; do sleep 0.05; done' > /dev/null 2>&1 &
{then}
"""


@pytest.fixture
def guardian() -> Iterator[GuardianClient]:
    client = GuardianClient("stopped", lambda: None, GuardianProcess())
    yield client
    _soon(client.close)


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    """A folder of the step's user. At the end of a test, the spawner goes on and what the step left is killed."""
    path = Path(tempfile.mkdtemp(dir=open_folder))
    path.chmod(0o755)
    os.chown(path, _USER.uid, _USER.gid)
    yield path
    for name, number in (("left", signal.SIGKILL), ("spawner", signal.SIGCONT)):
        if (path / name).exists() and not gone(pid := pid_in(path / name)):
            os.kill(pid, number)


def _text(folder: Path, then: str) -> str:
    return _STOPPER.format(folder=folder, spawner=f"$(cat {folder}/spawner)", then=then)


def _run(guardian: GuardianClient, text: str, user: StepUser) -> None:
    """Run a command to its end as a step of this user."""
    ended = start_as(guardian, ["/bin/sh", "-c", text], user)
    assert eventually(ended.done)


def _stop(folder: Path) -> int:
    """Have the process that a step left stop the spawner; return its own pid."""
    left, spawner = pid_in(folder / "left"), pid_in(folder / "spawner")
    (folder / "now").touch()
    eventually(lambda: Path(f"/proc/{spawner}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"TZ")
    return left


def _soon(work: Callable[[], T]) -> Future[T]:
    """Call ``work`` on a thread that does not keep the test if it hangs."""
    done: Future[T] = Future()

    def body() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            done.set_exception(error)

    Thread(target=body, daemon=True).start()
    return done


def test_the_next_run_of_the_user_meets_nothing_of_the_one_before(guardian: GuardianClient, folder: Path) -> None:
    _run(guardian, _text(folder, "exit"), _USER)
    left = _stop(folder)

    released = _soon(lambda: guardian.release(_USER))

    assert eventually(released.done)
    assert released.result()
    assert gone(left)


def test_nor_if_other_users_took_the_place_of_its_spawner(guardian: GuardianClient, folder: Path) -> None:
    _run(guardian, _text(folder, "exit"), _USER)
    left = _stop(folder)
    for number in range(1, 34):
        _run(guardian, "exit", StepUser(_USER.uid + number, _USER.gid + number))

    assert guardian.release(_USER)

    assert gone(left)


def _running(guardian: GuardianClient, folder: Path, stop: StopRequest) -> Future[object]:
    """Run a step that waits for the process which it leaves."""
    supervisor = Supervisor(guardian, new_token(), stop, grace_s=0, user=_USER)

    def run() -> object:
        with Path(os.devnull).open("wb") as nothing:
            out = nothing.fileno()
            text = _text(folder, "wait")
            return supervisor.run(["/bin/sh", "-c", text], env={"PATH": os.defpath}, cwd="/", stdout=out, stderr=out)

    return _soon(run)


def test_a_step_that_has_stopped_its_spawner_ends_with_all_its_processes(
    guardian: GuardianClient, folder: Path
) -> None:
    stop = StopRequest()
    ended = _running(guardian, folder, stop)
    left = _stop(folder)

    stop.request(StopKind.STOP)

    assert eventually(ended.done)
    assert isinstance(ended.exception(), GuardianLost)
    eventually(lambda: gone(left))


def test_a_stopped_spawner_that_takes_no_more_does_not_hold_up_its_worker(
    guardian: GuardianClient, folder: Path
) -> None:
    ended = _running(guardian, folder, StopRequest())
    _stop(folder)

    large = _soon(lambda: _run(guardian, "x" * 4_000_000, _USER))

    assert eventually(large.done)
    assert isinstance(large.exception(), GuardianLost)
    assert eventually(ended.done)
    _run(guardian, "exit", _USER)
