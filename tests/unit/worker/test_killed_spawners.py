"""The guardian kills all processes of a step user, and no step keeps it from its work meanwhile."""

import os
import signal
from collections.abc import Callable

import pytest

from services.worker.process.guardian import killed_spawners
from services.worker.process.guardian.killed_spawners import KilledSpawners
from services.worker.process.guardian.process_tree import KeptTree

_UID = 59_999
"""No process of this machine has it."""


def _no_fork() -> int:
    raise BlockingIOError


def _sent(number: signal.Signals) -> Callable[[int, int], None]:
    return lambda _uid, _gid: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_the_process_that_kills_may_be_stopped_or_killed_by_a_step(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(killed_spawners, "become", _sent(number))

    assert not KilledSpawners(KeptTree(), portable=False).kill_all_of(_UID)


def test_there_may_be_no_process_left_to_kill_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", _no_fork)

    assert not KilledSpawners(KeptTree(), portable=False).kill_all_of(_UID)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_spawners_that_have_left_nothing_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = KilledSpawners(KeptTree(), portable=False)
    monkeypatch.setattr(killed_spawners, "KILL_TRIES_S", -1)
    looks: list[object] = []

    def left_by(*about: object) -> set[int]:
        looks.append(about)
        return set()

    monkeypatch.setattr(KeptTree, "left_by", left_by)
    killed.add(1 << 30, _UID)

    killed.end_left({})
    killed.end_left({})

    assert len(looks) == 1
