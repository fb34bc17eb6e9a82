"""Which user a run's steps get, and which files a run may name."""

import os
from pathlib import Path

import pytest

from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.inputs.workspace import Workspace
from services.worker.process.step_users import NoFreeUser, StepUser, StepUsers, make_folder
from shared.language.model import Step
from tests.harness.worker_rig import task

_FIRST = StepUser(20_000, os.getgid() + 1)


def _users(folder: Path, count: int, busy: set[int] | None = None) -> StepUsers:
    return StepUsers(_FIRST, count, [folder], lambda user: user.uid not in (busy or set()))


def test_one_user_is_for_all_runs(tmp_path: Path) -> None:
    users = _users(tmp_path, 1)

    assert users.of("a/1") == users.of("b/2") == _FIRST


def test_a_run_keeps_its_user_and_no_other_run_has_it(tmp_path: Path) -> None:
    users = _users(tmp_path, 3)

    given = [users.of(run).uid for run in ("a/1", "b/1", "a/1", "c/1", "b/1")]

    assert given == [20_000, 20_001, 20_000, 20_002, 20_001]


def test_the_run_not_seen_for_longest_loses_its_user(tmp_path: Path) -> None:
    users = _users(tmp_path, 2)
    users.of("a/1")
    users.of("b/1")
    users.of("a/1")

    assert users.of("c/1").uid == 20_001
    assert users.of("a/1").uid == 20_000


def test_a_user_with_an_attempt_is_never_given_away(tmp_path: Path) -> None:
    busy: set[int] = set()
    users = _users(tmp_path, 2, busy)
    users.of("a/1")
    users.of("b/1")
    busy.add(20_000)

    assert users.of("c/1").uid == 20_001
    busy.add(20_001)
    with pytest.raises(NoFreeUser, match="all 2 users"):
        users.of("d/1")


def test_a_run_whose_attempt_has_no_process_yet_keeps_its_user(tmp_path: Path) -> None:
    users = _users(tmp_path, 2)
    with users.kept("a/1"):
        first = users.of("a/1")
        with users.kept("a/1"):
            users.of("b/1")
        assert users.of("c/1") != first, "a step of a/1 would run as the user of c/1"
        with users.kept("c/1"), pytest.raises(NoFreeUser, match="all 2 users"):
            users.of("d/1")
        assert users.of("a/1") == first
    users.of("c/1")

    assert users.of("d/1") == first, "its attempt is over"


def test_what_is_left_of_a_run_ends_if_it_has_no_attempt_and_a_user_of_its_own(tmp_path: Path) -> None:
    ended: list[int] = []

    def end(user: StepUser) -> bool:
        ended.append(user.uid)
        return True

    users = StepUsers(_FIRST, 2, [tmp_path], end)
    users.of("a/1")
    users.of("b/1")
    with users.kept("a/1"):
        users.end_left("a/1")
    assert not ended
    users.end_left("a/1")
    users.end_left("never/seen")
    assert ended == [20_000]
    shared = StepUsers(_FIRST, 1, [tmp_path], end)
    shared.of("a/1")
    shared.end_left("a/1")
    assert ended == [20_000], "other runs have this user"


def test_folders_tell_the_users_of_runs_after_a_restart(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder to any group")
    for name, number in (("a/1", 4), ("child/a~1~x", 4), ("child/b~7~y", 2)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        os.chown(folder, -1, _FIRST.gid + number)
    users = _users(tmp_path, 6)

    assert (users.of("a/1").uid, users.of("b/7").uid) == (20_004, 20_002)
    assert {users.of(f"new/{number}").uid - 20_000 for number in range(4)} == {0, 1, 3, 5}


def test_the_folders_of_a_run_are_closed_before_its_user_is_given_away(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder to any group")
    folders = [tmp_path / "a" / "1", tmp_path / "child" / "a~1~x"]
    for folder in folders:
        folder.mkdir(parents=True)
        os.chown(folder, -1, _FIRST.gid)
        folder.chmod(0o2770)
    users = _users(tmp_path, 2)
    users.of("b/1")

    assert users.of("c/1").uid == 20_000
    for folder in folders:
        assert (folder.stat().st_mode & 0o7777, folder.stat().st_gid) == (0o700, os.getegid())


def test_a_run_reaches_its_own_files_and_foreign_ones_but_no_private_ones(tmp_path: Path) -> None:
    private = tmp_path / "private"
    own = private / "runs" / "own"
    own.mkdir(parents=True)
    reach = Reach((private,), (own,))
    for path in (tmp_path / "outside", own / "file", private / "spool"):
        path.write_text("x")
    (tmp_path / "link").symlink_to(private / "spool")
    (own / "link").symlink_to(private / "spool")

    for path in (tmp_path / "outside", own / "file"):
        os.close(reach.open(path))
    for path in (private / "spool", tmp_path / "link", own / "link", own / ".." / ".." / "spool"):
        with pytest.raises(PermissionError, match="only the worker"):
            reach.open(path)
        os.close(EVERYTHING.open(path))


def test_a_private_file_is_not_made_before_it_is_refused(tmp_path: Path) -> None:
    reach = Reach((tmp_path / "private",))
    (tmp_path / "private").mkdir()

    with pytest.raises(PermissionError):
        reach.open(tmp_path / "private" / "new", os.O_RDWR | os.O_CREAT, 0o600)

    assert list((tmp_path / "private").iterdir()) == []


def test_the_logs_of_a_run_go_to_no_folder_that_it_may_not_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, None, _users(tmp_path, 1), (tmp_path,))
    of_others = task(Step(name="s"), log_dir=f"{tmp_path}/spool/new")

    assert workspace.log_folder(of_others) == tmp_path / "logs"
    assert not (tmp_path / "spool").exists()


def test_a_folder_is_made_where_the_step_may_write_and_in_no_private_one(tmp_path: Path) -> None:
    user, reach = StepUser(os.geteuid() + 1, os.getegid()), Reach((tmp_path,))
    private, shared = tmp_path / "private", tmp_path / "shared"
    private.mkdir(0o750)
    shared.mkdir()
    shared.chmod(0o2770)
    (shared / "link").symlink_to(private)

    make_folder(shared / "a" / "b", user, reach.check)

    assert [each.stat().st_mode & 0o7777 for each in (shared / "a", shared / "a" / "b")] == [0o2770, 0o2770]
    for path in (private / "a" / "b", shared / "link" / "a", shared / "a" / ".." / ".." / "a"):
        with pytest.raises(PermissionError, match="only the worker"):
            make_folder(path, user, reach.check)
    assert [*private.iterdir()] == []


def test_a_folder_that_is_replaced_by_a_link_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step may do that as soon as the folder is there."""
    user, target, made = StepUser(os.geteuid() + 1, os.getegid()), tmp_path / "target", os.mkdir
    target.mkdir(0o700)

    def replaced(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        made(path, mode, dir_fd=dir_fd)
        os.rename(path, "moved", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        os.symlink(target, path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", replaced)
    with pytest.raises(OSError):
        make_folder(tmp_path / "new", user)

    assert target.stat().st_mode & 0o7777 == 0o700


def test_a_device_is_never_given_to_a_step() -> None:
    owner, device = os.openpty()
    try:
        before = os.fstat(device)

        StepUser(os.geteuid(), os.getegid()).share(device, 0o666)

        assert (os.fstat(device).st_mode, os.fstat(device).st_gid) == (before.st_mode, before.st_gid)
    finally:
        os.close(owner)
        os.close(device)
