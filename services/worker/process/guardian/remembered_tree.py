"""Find the processes of steps where the system does not keep orphans with the guardian, such as on macOS.

An orphan becomes a child of process 1 there, and nothing that everybody may read tells whose it was. So this looks at
the list of all processes once per second while steps run, and remembers which of them belong to a step: those in its
process group, those with its mark in their environment, and all descendants of these, for as long as they live. What it
cannot find is a process that has left the group, loses its parent between two looks, and does not show its environment.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Mapping

from services.worker.process.guardian.process_tree import KILL_TRIES_S, MARK, PAUSE_S, descendants, kill_each
from services.worker.process.guardian.ps_list import PsRow, listed_by_ps, marked_by_ps

__all__ = ["RememberedTree", "kill_remembered", "members", "spawner_mark"]

_LOOK_S = 1.0
_TIME = "%a %b %d %H:%M:%S %Y"
_ROUNDED_S = 2

List = Callable[[], Mapping[int, PsRow]]
Marks = Callable[[str, str], Mapping[int, str]]


def members(
    rows: Mapping[int, PsRow], before: Mapping[int, str] | None, group: int, marked: Collection[int] = ()
) -> dict[int, str]:
    """Return the processes of a step that live, with the time of their start.

    ``before`` is the result of the look before, ``None`` at the first. ``group`` is the process group that the step
    began in. It counts at the first look, and then as long as a known process is in it: later the kernel may give its
    number to another one.
    """
    known = {pid for pid, began in (before or {}).items() if pid in rows and _same(rows[pid].began, began)}
    known |= {pid for pid in marked if pid in rows}
    if before is None and group in rows:
        # A spawner that was just forked may not lead its group yet.
        known.add(group)
    if before is None or any(rows[pid].group == group for pid in known):
        known |= {pid for pid, row in rows.items() if row.group == group}
    known |= descendants({pid: (row.parent, 0) for pid, row in rows.items()}, known)
    return {pid: rows[pid].began for pid in known}


def _same(one: str, other: str) -> bool:
    """Whether two times are the same. Some systems reckon them anew at each look, and round them."""
    if one == other:
        return True
    try:
        times = [time.mktime(time.strptime(each, _TIME)) for each in (one, other)]
    except (ValueError, OverflowError):
        return False
    return abs(times[0] - times[1]) <= _ROUNDED_S


class RememberedTree:
    """The processes below this one, by what was seen of them."""

    def __init__(self, listed: List = listed_by_ps, marks: Marks = marked_by_ps) -> None:
        self._listed = listed
        self._marks = marks
        self._known: dict[tuple[str, int], dict[int, str] | None] = {}
        """By mark and process group: a step with several commands has a group for each."""
        self._next_s = 0.0

    @property
    def wait_s(self) -> float | None:
        """How long to wait for the next look; ``None`` if there is nothing to look at."""
        return max(self._next_s - time.monotonic(), 0.0) if self._known else None

    def begin(self, mark: str, group: int) -> None:
        """Remember a process that was just started as the leader of a process group."""
        self._known[mark, group] = None

    def look(self) -> None:
        """Look at all processes, if it is time to, and forget the steps of which none is left."""
        if self._known and self._next_s <= time.monotonic():
            self._next_s = time.monotonic() + _LOOK_S
            # If ps cannot run, what was known stays known.
            with contextlib.suppress(OSError):
                self._look()

    def of_step(self, group: int, mark: str) -> set[int]:  # noqa: ARG002 - the other tree needs the group
        """Return the living processes of one step."""
        with contextlib.suppress(OSError):
            self._look(marks=True)
        return {pid for (of, _), known in self._known.items() if of == mark for pid in known or ()}

    def all(self) -> set[int]:
        """Return the living processes of all steps."""
        with contextlib.suppress(OSError):
            self._look(marks=True)
        return {pid for known in self._known.values() for pid in known or ()}

    def left_by(self, ended: Collection[int], living: Collection[int]) -> set[int]:  # noqa: ARG002 - as above
        """Return what the spawners with these pids have left."""
        return {pid for spawner in ended for pid in self.of_step(spawner, spawner_mark(spawner))}

    def orphans(self, started: Collection[int]) -> set[int]:  # noqa: ARG002 - as above
        """Return nothing: only a look at all processes could tell."""
        return set()

    def _look(self, *, marks: bool = False) -> None:
        """Look at all processes; at their environments, which takes longer, only if a step seems to have ended."""
        rows = self._listed()
        self._known = {key: members(rows, known, key[1]) for key, known in self._known.items()}
        if not marks and all(self._known.values()):
            return
        marked: dict[str, list[int]] = {}
        for pid, mark in self._marks(MARK, "").items():
            marked.setdefault(mark, []).append(pid)
        for (mark, group), before in [*self._known.items()]:
            known = self._known[mark, group] = members(rows, before, group, marked.get(mark, ()))
            if not known:
                del self._known[mark, group]


def spawner_mark(pid: int) -> str:
    """Return the name under which a spawner's processes are remembered."""
    return f"spawner {pid}"


def kill_remembered(prefix: str, groups: Collection[int]) -> None:
    """Kill the processes in these groups, those whose mark begins with ``prefix``, and their descendants.

    The worker calls it if the guardian itself was killed.
    """
    tree = RememberedTree()
    for group in groups:
        tree.begin(str(group), group)
    give_up = time.monotonic() + KILL_TRIES_S
    while time.monotonic() < give_up:
        victims = tree.all()
        with contextlib.suppress(OSError):
            marked = set(marked_by_ps(MARK, prefix))
            rows = listed_by_ps()
            victims |= set(members(rows, {}, -1, marked - {os.getpid()}))
        if not victims:
            return
        kill_each(victims)
        time.sleep(PAUSE_S)
