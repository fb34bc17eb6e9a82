"""What a step leaves so that only its own user can remove it goes with the other files of its run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.process.folder_emptier import FolderEmptier
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.step_users import StepUser, StepUsers
from tests.security.conftest import WORKER_UID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have files of several users")

_FIRST_UID = 30_000
_REMOVER = """
import sys, time
sys.path[:0] = {packages}
from pathlib import Path
from services.worker.run_files import RunFiles

RunFiles(Path(sys.argv[1]), 7, lambda uid, folder: print(uid, folder.name)).remove_old(time.time() + 60)
"""


@pytest.fixture
def emptier(open_folder: Path) -> Iterator[FolderEmptier]:
    guardian = GuardianClient("leftovers", lambda: None)
    users = StepUsers(StepUser(_FIRST_UID, _FIRST_UID), 10, [open_folder], guardian.release)
    yield FolderEmptier(guardian, users)
    guardian.close()


def _made_by(uid: int, folder: Path, mode: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    for each in (folder / "file", folder):
        os.chown(each, uid, uid)
    folder.chmod(mode)
    return folder


def test_a_folder_is_emptied_by_its_owner_and_by_nobody_with_more_rights(
    emptier: FolderEmptier, open_folder: Path
) -> None:
    uid = _FIRST_UID + 3
    outer = _made_by(uid, open_folder / "outer", 0o700)
    _made_by(uid, outer / "closed", 0o000)
    theirs = _made_by(uid + 1, outer / "of-another", 0o700)
    (outer / "link").symlink_to(_made_by(uid, open_folder / "elsewhere", 0o755))

    emptier(uid, outer)
    emptier(0, open_folder / "elsewhere")

    assert [each.name for each in outer.iterdir()] == ["of-another"]
    assert (theirs / "file").exists()
    assert (open_folder / "elsewhere/file").exists()


def test_a_worker_has_emptied_what_it_cannot_remove(open_folder: Path, interpreter: str) -> None:
    data = open_folder / "data"
    run = _made_by(WORKER_UID, data / "runs/d/r", 0o700)
    _made_by(_FIRST_UID, run / "closed", 0o700)
    _made_by(_FIRST_UID + 1, _made_by(WORKER_UID, run / "own", 0o700) / "deep", 0o755)
    for folder in (data, data / "runs", data / "runs/d"):
        os.chown(folder, WORKER_UID, WORKER_UID)
    packages = [each for each in sys.path if each.endswith("site-packages") or Path(each, "services").is_dir()]
    argv = [interpreter, "-I", "-c", _REMOVER.replace("{packages}", repr(packages)), str(data)]

    done = subprocess.run(
        argv, user=WORKER_UID, group=WORKER_UID, extra_groups=[], cwd="/", capture_output=True, text=True, check=False
    )

    assert (sorted(done.stdout.splitlines()), done.stderr) == ([f"{_FIRST_UID} closed", f"{_FIRST_UID + 1} deep"], "")
    (left,) = (data / ".removed").iterdir()
    assert sorted(each.name for each in left.iterdir()) == ["closed", "own"]
