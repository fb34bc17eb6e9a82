"""Annotations of a step are masked, and reported while it runs and at its end."""

from pathlib import Path

import pytest

from shared.contracts.events import AttemptProgress
from shared.language.model import Output, Secret
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig, command, task


def progress_of(rig: Rig, token: str) -> list[AttemptProgress]:
    return [event for event in rig.events(token) if isinstance(event, AttemptProgress)]


def test_progress_is_reported_while_the_step_runs_but_not_for_every_line(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "hush")
    text = (
        # Both lines at once: a report between them would have the first one only.
        "printf '::progress 1/4 begun with %s\\n::notice made by %s\\n' $S $S\n"
        f"until test -e {tmp_path}/go; do sleep 0.02; done\n"
        "for i in $(seq 1000); do echo ::progress $i/1000; done; echo ::warning hot; echo ::output R=$S-1; echo end"
    )
    secrets = (Secret(name="S", provider="env", key="SECRET_OF_TEST"),)
    rig.give(task(command(text, output=Output(name="O")), token="t", secrets=secrets))

    eventually(lambda: progress_of(rig, "t") != [])
    (first,) = progress_of(rig, "t")
    assert first.progress is not None
    assert (first.progress.current, first.progress.total, first.progress.text) == (1, 4, "begun with *******")
    assert [(one.level, one.text) for one in first.remarks] == [("notice", "made by *******")]
    (tmp_path / "go").touch()
    finished = rig.finished("t")

    assert finished.progress is not None
    assert (finished.progress.current, finished.progress.total) == (1000, 1000)
    assert [one.text for one in finished.remarks] == ["made by *******", "hot"]
    assert finished.outputs["R"] == "*******-1"
    assert finished.outputs["O"].endswith("end")
    assert len(progress_of(rig, "t")) < 20, "of 1,001 lines; on a busy machine they take several intervals"
    assert rig.log(finished, "stdout").count(b"::progress") == 1001


def test_a_step_without_annotations_sends_no_progress(rig: Rig) -> None:
    finished = rig.run(task(command("echo a::b; echo ' ::notice x'; echo ::notice x >&2")))

    assert (finished.progress, finished.remarks, finished.outputs, progress_of(rig, finished.token)) == (
        None,
        (),
        {},
        [],
    )
