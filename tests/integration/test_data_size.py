"""A worker whose folder may take less than its disk has, as an emptyDir with a sizeLimit: its pod would be evicted."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.transport.base import HEARTBEATS
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, task

_SIZE = 32 << 20
_FOLDERS = 8 << 20
"""More than the folders themselves take on any file system."""
_ENDLESS = 'yes "$(printf %099d 0)"'
_CUT = "its output was cut, because less than 2 MiB was free on the worker's disk"


def _taken(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_step_that_prints_without_end_fails_before_the_folder_takes_all_of_its_part(tmp_path: Path) -> None:
    with Rig(tmp_path, data_size=_SIZE) as rig:
        # Another step, because the attempts of one share a log: what each printed is added when it has ended.
        small = command("echo small; while [ ! -e go ]; do sleep 0.02; done")
        rig.give(task(small.model_copy(update={"name": "small"}), token="small"))
        for token in ("first", "second"):  # the second has only the room that the first has left
            rig.give(task(command(_ENDLESS), token=token))
            assert _CUT in rig.finished(token).error
            rig.worker.run_files.remove_most()
        (rig.work_dir() / "go").touch()
        assert rig.finished("small").outcome == "succeeded"


def test_what_logs_have_grown_since_the_last_look_counts(tmp_path: Path) -> None:
    with Rig(tmp_path, data_size=_SIZE) as rig:
        for number in range(3):
            rig.give(task(command("head -c 9000000 /dev/zero"), token=f"t{number}"))
            assert rig.finished(f"t{number}").outcome == "succeeded"
        eventually(lambda: 27_000_000 <= rig.worker.run_files.used_bytes < 27_000_000 + _FOLDERS)
        rig.give(task(command("head -c 9000000 /dev/zero; sleep 60"), token="t"))
        assert _CUT in rig.finished("t").error
        assert _taken(tmp_path) < _SIZE


def test_what_was_there_when_the_worker_began_counts_from_the_first_step_on(tmp_path: Path) -> None:
    (tmp_path / "left").write_bytes(bytes(_SIZE - (6 << 20)))
    with Rig(tmp_path, data_size=_SIZE) as rig:
        rig.give(task(command("head -c 9000000 /dev/zero; sleep 60"), token="t"))
        assert _CUT in rig.finished("t").error
        assert _taken(tmp_path) < _SIZE


@contextmanager
def _slow_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Make whoever opens ``folder`` wait for the end of the block. Yield what is set when somebody does."""
    asked, done, open_file = threading.Event(), threading.Event(), os.open

    def slow(path: Any, *args: Any, **facts: Any) -> int:
        if str(path) == str(folder):
            asked.set()
            done.wait(PATIENCE_S)
        return open_file(path, *args, **facts)

    monkeypatch.setattr(os, "open", slow)
    try:
        yield asked
    finally:
        done.set()


def test_a_worker_is_heard_while_it_measures_what_was_there_when_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a restarted worker, whose folder may hold a million files, would lose what it has not reported yet."""
    left = tmp_path / "left"
    left.mkdir()
    rig = Rig(tmp_path, data_size=_SIZE)
    starting = threading.Thread(target=rig.__enter__)
    try:
        with _slow_disk(left, monkeypatch) as asked:
            starting.start()
            assert asked.wait(PATIENCE_S)
            eventually(lambda: rig.transport.waiting(HEARTBEATS) > 0, timeout_s=PATIENCE_S / 4)
    finally:
        starting.join()
        rig.__exit__()


def test_a_log_elsewhere_is_not_cut_for_want_of_room_in_the_folder(tmp_path: Path) -> None:
    with Rig(tmp_path / "data", data_size=_SIZE) as rig:
        (rig.work_dir() / "file").write_bytes(bytes(_SIZE))
        rig.worker.run_files.remove_most()
        rig.give(task(command("head -c 9000000 /dev/zero"), token="t", log_dir=str(tmp_path / "logs")))

        finished = rig.finished("t")
        assert finished.outcome == "succeeded"
        assert len(rig.log(finished, "stdout")) == 9_000_000
        assert rig.worker.run_files.used_bytes < _SIZE + _FOLDERS


def test_removed_files_give_room(tmp_path: Path) -> None:
    with Rig(tmp_path, data_size=_SIZE) as rig:
        (rig.work_dir() / "file").write_bytes(bytes(_SIZE))
        rig.worker.run_files.remove_most()
        assert rig.worker.run_files.used_bytes >= _SIZE

        rig.worker.run_files.ended([("d", "r1")])
        rig.worker.run_files.remove_succeeded(float("inf"))

        assert rig.worker.run_files.used_bytes < _FOLDERS
