"""Processes of steps without a subreaper: what is remembered of them, and what is found although nothing shows it."""

import os
import subprocess
from pathlib import Path

from services.worker.process.guardian.process_tree import MARK, kill_each
from services.worker.process.guardian.ps_list import PsRow, listed_by_ps, marked_by_ps
from services.worker.process.guardian.remembered_tree import RememberedTree, members
from tests.harness.eventually import eventually

_THEN, _LATER = "Mon Mar  2 10:00:00 2026", "Mon Mar  2 10:00:40 2026"


def _rows(**rows: tuple[int, int]) -> dict[int, PsRow]:
    return {int(name[1:]): PsRow(parent, group, _THEN) for name, (parent, group) in rows.items()}


def test_a_step_is_its_group_and_all_descendants() -> None:
    rows = _rows(p5=(1, 5), p6=(5, 5), p7=(6, 7), p8=(1, 5), p9=(1, 9), p10=(7, 10))

    assert set(members(rows, None, 5)) == {5, 6, 7, 8, 10}


def test_a_leader_that_has_not_made_its_group_yet_is_known() -> None:
    assert set(members(_rows(p5=(1, 1), p6=(5, 1)), None, 5)) == {5, 6}


def test_an_orphan_in_a_group_of_its_own_is_remembered_if_it_was_seen() -> None:
    seen = members(_rows(p5=(1, 5), p7=(5, 7)), None, 5)

    assert set(members(_rows(p7=(1, 7), p8=(7, 8), p9=(1, 9)), seen, 5)) == {7, 8}


def test_a_later_process_with_a_known_number_is_not_taken_for_it() -> None:
    seen = members(_rows(p5=(1, 5), p7=(5, 7)), None, 5)
    later = {5: PsRow(1, 5, _LATER), 7: PsRow(1, 7, _LATER)}

    assert members(later, seen, 5) == {}


def test_a_time_that_ps_rounds_otherwise_is_the_same() -> None:
    seen = {7: _THEN}

    assert set(members({7: PsRow(1, 7, "Mon Mar  2 10:00:01 2026")}, seen, 5)) == {7}


def test_a_process_that_shows_the_mark_belongs_to_the_step() -> None:
    assert set(members(_rows(p7=(1, 7), p8=(7, 8)), {}, 5, {7})) == {7, 8}


def test_a_step_whose_processes_have_ended_is_forgotten() -> None:
    rows = _rows(p5=(1, 5))
    tree = RememberedTree(listed=lambda: rows, marks=lambda _name, _prefix: {})
    tree.begin("mark", 5)
    assert (tree.of_step(5, "mark"), tree.wait_s is None) == ({5}, False)

    rows = _rows(p6=(1, 6))

    assert (tree.of_step(5, "mark"), tree.wait_s) == (set(), None)
    rows = _rows(p5=(1, 5))
    assert tree.all() == set()


def test_a_later_command_of_a_step_does_not_forget_what_an_earlier_one_left() -> None:
    rows = _rows(p5=(1, 5), p6=(5, 5))
    tree = RememberedTree(listed=lambda: rows, marks=lambda _name, _prefix: {})
    tree.begin("mark", 5)
    assert tree.of_step(5, "mark") == {5, 6}

    rows = _rows(p6=(1, 5), p9=(1, 9))
    tree.begin("mark", 9)

    assert tree.of_step(9, "mark") == tree.all() == {6, 9}


def test_what_is_known_stays_known_while_ps_cannot_run() -> None:
    fails = False

    def listed() -> dict[int, PsRow]:
        if fails:
            raise OSError("no ps")
        return _rows(p5=(1, 5))

    tree = RememberedTree(listed=listed, marks=lambda _name, _prefix: {})
    tree.begin("mark", 5)
    tree.look()
    fails = True

    assert tree.of_step(5, "mark") == {5}


def test_an_orphan_that_hides_its_environment_is_found(tmp_path: Path) -> None:
    text = f"env -i setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1020' & read line"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", text], env={MARK: "w.hidden"}, stdin=subprocess.PIPE, start_new_session=True
    )
    tree = RememberedTree()
    tree.begin("w.hidden", shell.pid)
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
    orphan = int((tmp_path / "pid").read_text())
    tree.look()
    shell.communicate(b"\n")

    assert orphan in tree.of_step(shell.pid, "w.hidden")
    assert orphan not in marked_by_ps(MARK, "w.hidden")
    kill_each({orphan})
    eventually(lambda: orphan not in listed_by_ps())


def test_ps_shows_this_process_and_not_itself() -> None:
    rows = listed_by_ps()

    assert rows[os.getpid()].parent == os.getppid()
    assert not any(row.parent == os.getpid() and row.group == -1 for row in rows.values())
