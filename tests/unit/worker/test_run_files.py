"""Which files of runs a worker removes, and when."""

import os
import threading
import time
from pathlib import Path

import pytest

from services.worker import run_files
from services.worker.inputs.workspace import run_folder
from services.worker.run_files import RunFiles, pause_s
from shared.workspaces import stored_name
from tests.harness.eventually import eventually
from tests.harness.worker_rig import command, task

SOON_S = 300


def _folders(data: Path, *names: str) -> None:
    for base in ("runs", "logs"):
        for name in names:
            folder = data / base / name
            folder.mkdir(parents=True)
            folder.joinpath("file").write_text("x")


def _left(data: Path) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for base in ("runs", "logs") for path in (data / base).glob("*/*")}


def test_the_files_of_a_run_that_succeeded_go_with_those_of_its_sub_runs(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1", "sub/d~r1~s1", "d/r2", "sub/d~r2~s1", "e/r1")
    files = RunFiles(tmp_path, keep_days=7)
    now = time.monotonic()
    files.ended([("d", "r1")])

    files.remove_succeeded(now)
    assert "d/r1" in _left(tmp_path)
    files.remove_succeeded(now + SOON_S + 60)
    assert _left(tmp_path) == {"d/r2", "sub/d~r2~s1", "e/r1"}
    assert not list(tmp_path.glob(".removed/*"))


def test_the_files_of_a_workspaces_sub_run_go_and_stay_with_those_of_its_run(tmp_path: Path) -> None:
    root, child = stored_name("d", "acme"), stored_name("sub", "acme")
    sub_run = task(command("true"), dag_name=child, dag_run_id="s1", root_dag_name=root, root_dag_run_id="r1")
    _folders(tmp_path, run_folder(sub_run), "sub/d~r1~s1")
    files = RunFiles(tmp_path, keep_days=7)
    with files.using(sub_run):
        files.remove_old(time.time() + 60)
        assert _left(tmp_path) == {run_folder(sub_run)}

    files.ended([(root, "r1")])
    files.remove_succeeded(time.monotonic() + SOON_S + 60)
    assert _left(tmp_path) == set()


def test_an_empty_directory_of_a_run_that_succeeded_goes_too(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1")
    (tmp_path / "runs/d/r1/file").unlink()
    files = RunFiles(tmp_path, keep_days=7)
    files.ended([("d", "r1"), ("d", "never-here")])

    files.remove_succeeded(time.monotonic() + SOON_S + 60)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ended", "logs", "runs"]


def test_files_in_use_stay_and_a_retried_run_is_not_forgotten(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1")
    files = RunFiles(tmp_path, keep_days=7)
    late = time.monotonic() + SOON_S + 60
    with files.using(task(command("true"))):
        files.ended([("d", "r1")])
        files.remove_succeeded(late)
        files.remove_old(time.time() + 60)
        assert _left(tmp_path) == {"d/r1"}

    files.ended([("d", "r1")])
    with files.using(task(command("true"))):
        pass
    files.remove_succeeded(late)
    assert _left(tmp_path) == {"d/r1"}


def test_a_restart_does_not_forget_which_runs_ended(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1", "d/good", "d/bad", "d/worse", "d/waiting")
    files = RunFiles(tmp_path, keep_days=7)
    files.ended([("d", "good"), ("d", "r1")], [("d", "bad"), ("d", "worse")])
    with files.using(task(command("true"))):
        pass  # it is retried
    with (tmp_path / "ended").open("a") as file:
        file.write("+d/waiting")  # a killed process was writing a longer name

    files = RunFiles(tmp_path, keep_days=7, most_failed=1)
    files.remove_succeeded(time.monotonic())
    assert "d/good" in _left(tmp_path), "the time begins again"
    files.remove_succeeded(time.monotonic() + SOON_S + 60)
    files.remove_most()

    assert _left(tmp_path) == {"d/r1", "d/worse", "d/waiting"}
    assert (tmp_path / "ended").stat().st_mode & 0o777 == 0o600


def test_the_files_of_runs_that_failed_first_go_when_there_are_too_many(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1", "d/first", "sub/d~first~s1", "d/second", "d/third", "d/waiting")
    files = RunFiles(tmp_path, keep_days=7, most_failed=2)
    elsewhere = [("d", f"elsewhere-{number}") for number in range(5)]
    files.ended([], [("d", "r1"), ("d", "first"), ("d", "second"), ("d", "third"), *elsewhere])

    with files.using(task(command("true"))):
        files.remove_most()
        assert _left(tmp_path) == {"d/r1", "d/second", "d/third", "d/waiting"}
    files.ended([], [("d", "r1")])
    files.remove_most()
    assert _left(tmp_path) == {"d/r1", "d/third", "d/waiting"}


def test_old_files_go_whatever_became_of_their_run(tmp_path: Path) -> None:
    _folders(tmp_path, "d/old", "d/busy", "e/old")
    files = RunFiles(tmp_path, keep_days=7)
    long_ago = time.time() - 8 * 86_400
    for name in ("d/old", "e/old", "d/busy"):
        for base in ("runs", "logs"):
            folder = tmp_path / base / name
            if name != "d/busy":
                os.utime(folder / "file", (long_ago, long_ago))
            os.utime(folder, (long_ago, long_ago))

    files.remove_old(time.time() - 7 * 86_400)

    assert _left(tmp_path) == {"d/busy"}
    assert not (tmp_path / "runs" / "e").exists()


def test_nothing_goes_if_files_are_kept_for_ever(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1")
    files = RunFiles(tmp_path, keep_days=0)
    files.ended([("d", "r1")])
    files.remove_succeeded(time.monotonic() + SOON_S + 60)
    assert _left(tmp_path) == {"d/r1"}


def test_the_oldest_files_go_when_all_take_too_much_room_but_none_in_use(tmp_path: Path) -> None:
    _folders(tmp_path, "d/r1", "d/oldest", "d/older", "d/old", "d/new")
    for age, name in enumerate(("new", "old", "older", "oldest", "r1")):
        for base in ("runs", "logs"):
            folder = tmp_path / base / "d" / name
            (folder / "file").write_bytes(bytes(1 << 20))
            at = time.time() - age * 60
            for path in (folder / "file", folder):
                os.utime(path, (at, at))
    files = RunFiles(tmp_path, keep_days=7, most_bytes=7 << 20)

    with files.using(task(command("true"))):
        files.remove_most()
        assert _left(tmp_path) == {"d/r1", "d/old", "d/new"}
    files.remove_most()
    assert _left(tmp_path) == {"d/r1", "d/old", "d/new"}, "they fit"
    RunFiles(tmp_path, keep_days=7, most_bytes=5 << 20).remove_most()
    assert _left(tmp_path) == {"d/old", "d/new"}


def test_a_worker_knows_what_all_its_files_take(tmp_path: Path) -> None:
    _folders(tmp_path, "d/old", "d/new")
    for path in ("runs/d/old/file", "runs/d/new/file", "spool/report.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(bytes(1 << 20))
    for path in ("runs/d/old/file", "runs/d/old"):
        os.utime(tmp_path / path, (0, 0))
    files = RunFiles(tmp_path, keep_days=7)

    files.remove_most()
    assert 3 << 20 <= files.used_bytes < (3 << 20) + (1 << 18)
    files = RunFiles(tmp_path, keep_days=7, most_bytes=3 << 19)
    files.remove_most()
    assert not (tmp_path / "runs/d/old").exists()
    assert (tmp_path / "runs/d/new").exists()
    assert 2 << 20 <= files.used_bytes < (2 << 20) + (1 << 18)


@pytest.mark.parametrize(("look_took_s", "pause"), [(0.1, 60.0), (2.0, 200.0), (400.0, 3600.0)])
def test_files_are_measured_within_the_hour_even_after_a_look_that_hung(look_took_s: float, pause: float) -> None:
    assert pause_s(look_took_s) == pytest.approx(pause)


def test_no_file_becomes_old_because_the_clock_jumps_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(RunFiles):
        passes = 0

        def remove_old(self, before: float) -> None:
            super().remove_old(before)
            self.passes += 1

    _folders(tmp_path, "d/r1")
    monkeypatch.setattr(run_files, "_EVERY_S", 0.01)
    monkeypatch.setattr(run_files, "_OLD_EVERY_S", 0.0)
    files, stop = Counted(tmp_path, keep_days=1), threading.Event()
    thread = threading.Thread(target=files.run, args=[stop])
    thread.start()
    eventually(lambda: files.passes > 0)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 2 * 86_400)
    jumped = files.passes
    eventually(lambda: files.passes > jumped + 1)
    stop.set()
    thread.join()

    assert _left(tmp_path) == {"d/r1"}
