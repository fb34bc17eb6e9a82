"""Control groups of steps: what is written to the kernel's files and read. The real ones: tests/integration."""

import os
import socket
from pathlib import Path

import pytest

from services.worker.process.guardian.cgroups import GroupUnusable, StepGroups, files_of, limit_reached, take_over
from services.worker.process.outcome import ProcessExit, ended_text
from services.worker.process.privileges import start_guardian
from shared.errors import ConfigInvalid
from shared.settings.config import load_config


def test_limits_are_those_of_the_files_of_the_kernel() -> None:
    assert files_of({}) == {}
    assert files_of({"memory": 512 << 20, "processes": 100, "millicpus": 500}) == {
        "memory.max": "536870912",
        "memory.oom.group": "1",
        "pids.max": "100",
        "cpu.max": "50000 100000",
    }


@pytest.mark.parametrize(
    ("events", "limit", "told"),
    [
        ({}, "", "signal: killed"),
        ({"memory.events": "low 0\nmax 7\noom 0\noom_kill 0\n", "pids.events": "max 0\n"}, "", "signal: killed"),
        (
            {"memory.events": "low 0\nmax 7\noom 1\noom_kill 3\n", "pids.events": "max 0\n"},
            "memory",
            "signal: killed (out of memory, see DAGWAY_STEP_TOTAL_MEMORY)",
        ),
        (
            {"memory.events": "oom_kill 0\n", "pids.events": "max 2\n"},
            "processes",
            "signal: killed (too many processes, see DAGWAY_STEP_TOTAL_PROCESSES)",
        ),
    ],
)
def test_a_step_says_which_limit_it_ran_into(tmp_path: Path, events: dict[str, str], limit: str, told: str) -> None:
    for name, text in events.items():
        (tmp_path / name).write_text(text)

    assert limit_reached(str(tmp_path)) == limit
    assert ended_text(ProcessExit(1, signal=9, limit=limit)) == told
    assert ended_text(ProcessExit(1, code=2, limit=limit)) == told.replace("signal: killed", "exit status 2")


def test_a_group_without_the_controllers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")

    with pytest.raises(GroupUnusable, match="lacks the controllers memory, pids"):
        take_over(str(tmp_path), {"memory": 1, "processes": 1, "millicpus": 1})
    with pytest.raises(GroupUnusable, match="cannot be managed"):
        take_over(str(tmp_path / "none"), {})


def test_a_worker_does_not_start_with_limits_that_nothing_would_keep(tmp_path: Path) -> None:
    limits = {"DAGWAY_STEP_TOTAL_MEMORY": "512m"}
    with pytest.raises(ConfigInvalid, match="need DAGWAY_STEP_CGROUP"):
        start_guardian(load_config({}, limits, terminal=False))
    with pytest.raises(ConfigInvalid, match="DAGWAY_STEP_CGROUP"):
        load_config({}, limits | {"DAGWAY_STEP_CGROUP": str(tmp_path)}, terminal=False)

    for name in ("cgroup.controllers", "cgroup.procs"):
        (tmp_path / name).write_text("")
    config = load_config({}, limits | {"DAGWAY_STEP_CGROUP": str(tmp_path)}, terminal=False)
    with pytest.raises(ConfigInvalid, match="lacks the controllers memory"):
        start_guardian(config)


def test_the_process_that_starts_a_command_does_not_use_up_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def made_by_the_kernel(path: str) -> None:
        make(path)
        for name in ("pids.max", "cgroup.procs"):
            Path(path, name).touch()

    (tmp_path / "dagway").mkdir()
    (tmp_path / "dagway/cgroup.procs").touch()
    monkeypatch.setattr("services.worker.process.guardian.cgroups.os.mkdir", made_by_the_kernel)
    groups = StepGroups(str(tmp_path), {"processes": 1})

    group = Path(groups.enter())
    assert (group / "pids.max").read_text() == "2"
    groups.leave()
    assert (group / "pids.max").read_text() == "1"


@pytest.mark.parametrize("answered", [False, True], ids=["before its answer", "before it reads its answer"])
def test_a_spawner_that_is_killed_while_it_asks_for_a_group_ends_nothing_else(tmp_path: Path, answered: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        if answered:
            ours.send(b"answer")
        else:
            theirs.send(b"enter")
        theirs.close()

        assert not StepGroups(str(tmp_path), {}).serve(ours, os.getpid())


def test_a_spawner_cannot_have_other_folders_removed(tmp_path: Path) -> None:
    base = tmp_path / "base"
    other, own = tmp_path / "other", base / f"step-{os.getpid()}-7-1"
    for folder in (base, other, own):
        folder.mkdir()
    groups = StepGroups(str(base), {})
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for named in (other, f"{base}/step-{os.getpid()}-7-1/../../other", own):
            theirs.send(f"end {named}".encode())
            assert groups.serve(ours, 7)

    assert other.exists()
    assert not own.exists()
