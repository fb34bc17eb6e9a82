"""The data folder is taken away from a worker that runs: its volume is unmounted, or an empty one is in its place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from services.worker import run_files
from tests.faults.test_full_disk import HELD, Cut
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


def _unmount(folder: Path) -> None:
    shutil.rmtree(folder)


def _replace(folder: Path) -> None:
    folder.rename(folder.with_name("former"))
    folder.mkdir()


@pytest.mark.parametrize("cut", [False, True], ids=["", "no broker"])
@pytest.mark.parametrize("take_away", [_unmount, _replace])
def test_a_worker_whose_data_folder_is_gone_loses_no_step_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    take_away: Callable[[Path], None],
    cut: bool,
) -> None:
    def logged(message: str) -> bool:
        return message in [record.message for record in caplog.records]

    monkeypatch.setattr(run_files, "_EVERY_S", 0.05)
    transport, data = Cut(None), tmp_path / "data"
    with Rig(data, transport=transport) as rig:
        rig.give(task(command(f"echo one; {HELD.format(tmp_path, 'held')}; echo two"), token="t"))
        eventually((tmp_path / "held").exists)
        take_away(data)
        transport.cut = cut
        (tmp_path / "go-held").touch()
        if cut:
            eventually(lambda: logged("report.waits"))
            assert rig.worker.attempts.tokens() == ("t",)
            transport.cut = False
        finished = rig.finished("t")
        assert (finished.outcome, finished.error, rig.log(finished, "stdout")) == ("succeeded", "", b"one\ntwo\n")
        eventually(lambda: rig.worker.attempts.tokens() == ())

        if take_away is _unmount:
            eventually(lambda: logged("run_files.not_removed"))
            eventually(lambda: "No such file or directory" in rig.worker.facts().trouble)
            data.mkdir()
        rig.give(task(command("echo next"), token="next"))
        assert rig.finished("next").outcome == "succeeded"
        eventually(lambda: rig.worker.facts().trouble == "")
        assert not rig.worker.failed.is_set()
