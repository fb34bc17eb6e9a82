"""The broker with its shipped logins; folders, users and programs for the tests of what a step can reach."""

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_connection import Process
from services.worker.process.step_users import StepUser
from shared.ids import new_token
from tests.harness.broker_users import BrokerUsers
from tests.harness.needs import missing, need

__all__ = ["FIRST_UID", "STEP_USERS", "WORKER_UID", "start_as"]

WORKER_UID = 29_999
"""The user that Dagway has in these tests if they run as root: no process of this machine has it."""
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
FIRST_UID = 40_000 + 50 * ((os.getppid() + _PROCESS) % 400)
"""The first of fifty users of steps. Each process of a test run has others: a step may kill all of its user's."""
STEP_USERS = f"{FIRST_UID}-{FIRST_UID + 49}"


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerUsers]:
    """A new broker, with the shipped logins and one for the workers of a second pool, ``gpu``."""
    need("rabbitmq")
    users = BrokerUsers(tmp_path_factory.mktemp("broker"))
    with users.server:
        users.add_worker_login("gpu", "worker-gpu")
        yield users


@pytest.fixture(scope="module")
def unprivileged() -> int | None:
    """The user to run Dagway as: nobody's if the tests run as root, else the developer's own (``None``)."""
    return WORKER_UID if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def open_folder(unprivileged: int | None) -> Iterator[Path]:
    """A folder that belongs to the unprivileged user. Pytest's own folders let nobody else pass."""
    folder = Path(tempfile.mkdtemp(prefix="dagway-security-"))
    folder.chmod(0o711)
    if unprivileged is not None:
        os.chown(folder, unprivileged, unprivileged)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def interpreter() -> str:
    """A Python of this version that every user may run: the tests' own may lie in root's home."""
    candidates = (os.path.realpath(sys.executable), f"/usr/bin/python{sysconfig.get_python_version()}")
    found = next((each for each in candidates if os.geteuid() != 0 or _open_to_all(Path(each))), None)
    if found is None:
        missing(f"other users may not run {candidates[0]}, and there is no {candidates[1]}: install it")
    return found


@pytest.fixture(scope="module")
def program(open_folder: Path, interpreter: str) -> Path:
    """The ``dagway`` command, run by ``interpreter`` with the packages of the tests."""
    packages = [each for each in sys.path if each.endswith("site-packages") or Path(each, "services").is_dir()]
    path = open_folder / "dagway"
    path.write_text(
        f"#!{interpreter} -I\nimport sys\nsys.path[:0] = {packages}\nfrom services.cli import main\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def confined_program(open_folder: Path, program: Path) -> Path:
    """``program`` as root with the rights that it has in the shipped containers, and no others."""
    return _with_rights(program, open_folder / "confined", "--bounding-set=-all,+setuid,+setgid,+kill --no-new-privs")


@pytest.fixture(scope="module")
def capable_program(open_folder: Path, program: Path) -> Path:
    """``program`` as an ordinary user that may change users, as systemd's ``AmbientCapabilities`` give it."""
    rights = "--inh-caps=+setuid,+setgid,+kill --ambient-caps=+setuid,+setgid,+kill"
    user = f"--reuid={WORKER_UID} --regid={WORKER_UID} --clear-groups"
    return _with_rights(program, open_folder / "capable", f"{user} {rights}")


def _with_rights(program: Path, path: Path, rights: str) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root may start steps as another user")
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        missing("setpriv (util-linux) is not installed")
    path.write_text(f'#!/bin/sh\nexec {setpriv} {rights} {program} "$@"\n')
    path.chmod(0o755)
    return path


def _open_to_all(path: Path) -> bool:
    return path.exists() and all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def start_as(guardian: GuardianClient, argv: list[str], user: StepUser) -> Future[Process]:
    """Start a program as a step of ``user``, without output. The future has the process when it has ended."""
    ended: Future[Process] = Future()
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        guardian.spawn(
            argv,
            env={"PATH": os.defpath},
            cwd="/",
            stdout=nothing,
            stderr=nothing,
            attempt=new_token(),
            on_end=ended.set_result,
            user=user,
        )
    finally:
        os.close(nothing)
    return ended
