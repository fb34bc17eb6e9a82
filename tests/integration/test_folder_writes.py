"""Commands that write the DAG folder, while editors and other schedulers change it too; on both deployments."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.folder import Folder
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.commands.dags import ReplaceSpec
from shared.store import tables as t
from shared.store.writes.transaction import Store
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack


def spec(word: object) -> str:
    return f"steps:\n  - echo {word}\n"


@pytest.fixture
def folder(stack: Stack, tmp_path: Path) -> Path:
    """A folder that two schedulers follow and write."""
    made = tmp_path / "dags"
    made.mkdir()
    for _ in range(2):
        stack.scheduler(dags_dir=made, dag_files=DagFiles(made, tmp_path / "suspend"))
    return made


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def stored(stack: Stack) -> dict[str, str]:
    dags = stack.rows(t.dags)
    specs = {row["hash"]: row["yaml"] for row in stack.rows(t.specs)}
    return {row["file_name"]: specs[row["spec_hash"]] for row in dags}


def outcome(stack: Stack, command: c.Command) -> str:
    reply = stack.ask(command)
    return reply.outcome if reply.error is None else reply.error.code


def test_changes_by_api_are_in_the_folder_and_edits_of_the_folder_come_back(
    stack: Stack, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome(stack, c.CreateDag(file_name="a", spec=spec(1))) == "recorded"
    assert outcome(stack, c.PutSpec(file_name="a", spec=spec(2))) == "recorded"
    assert texts(folder) == {"a.yaml": spec(2)}
    assert stack.ask(c.PutSpec(file_name="a", spec="steps: 1")).result["errors"]
    assert outcome(stack, c.SuspendDag(file_name="a", suspend=True)) == "recorded"
    assert outcome(stack, c.RenameDag(file_name="a", new_file_name="b")) == "recorded"
    assert texts(folder) == {"b.yaml": spec(2)}
    assert [path.name for path in (tmp_path / "suspend").iterdir()] == ["b.suspend"]

    (folder / "b.yaml").write_text(spec("edited"))
    (folder / "c.yaml").write_text(spec("new"))
    (tmp_path / "suspend/b.suspend").unlink()
    eventually(lambda: stored(stack) == {"b": spec("edited"), "c": spec("new")})
    eventually(lambda: [row["suspended"] for row in stack.rows(t.dags)] == [False, False])
    assert outcome(stack, c.DeleteDag(file_name="b")) == "recorded"
    assert texts(folder) == {"c.yaml": spec("new")}
    assert outcome(stack, c.CreateDag(file_name="b", spec=spec("again"))) == "recorded"
    assert [row["version"] for row in stack.rows(t.dag_versions, file_name="b")] == [1]

    # From here on nobody follows the folder, so that the edits are not loaded before the commands come.
    idle: set[Folder] = set()

    def idles(follower: Folder) -> int:
        idle.add(follower)
        return 0

    monkeypatch.setattr(Folder, "run_once", idles)
    eventually(lambda: len(idle) == 2)  # the pass that was under way has ended
    (folder / "b.yaml").write_text(spec("not loaded yet"))
    (folder / "d.yaml").write_text(spec("not loaded yet"))
    expected = (spec_hash(spec("again")),)
    assert outcome(stack, c.PutSpec(file_name="b", spec=spec(3))) == "conflict"
    assert outcome(stack, ReplaceSpec(file_name="b", spec=spec(3), expected=expected)) == "precondition_failed"
    assert outcome(stack, c.DeleteDag(file_name="b")) == "conflict"
    assert outcome(stack, c.RenameDag(file_name="b", new_file_name="e")) == "conflict"
    assert outcome(stack, c.CreateDag(file_name="d", spec=spec(3))) == "already_exists"
    assert stored(stack) == {"b": spec("again"), "c": spec("new")}, "a refused command changes nothing"
    assert texts(folder)["b.yaml"] == texts(folder)["d.yaml"] == spec("not loaded yet")


def test_a_folder_that_cannot_be_written_says_so_in_the_list_of_dags(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DagFiles(tmp_path)
    monkeypatch.setattr(DagFiles, "read_only", True)
    follower = Folder(Transactor(Store(stack.engine), SchedulerMemory(Plans(), files), utc_now), tmp_path)
    follower.run_once()

    [told] = stack.rows(t.passed_over)
    assert told["name"] == "(DAG folder)"
    assert told["problem"].startswith("cannot be written: changes of DAGs through the API are refused")
    monkeypatch.setattr(DagFiles, "read_only", False)
    follower.run_once()
    assert stack.rows(t.passed_over) == []


def test_two_writers_and_an_editor_lose_no_newer_text(stack: Stack, folder: Path) -> None:
    stack.dag("a", spec("first"))
    path, over = folder / "a.yaml", threading.Event()
    edits = itertools.count()
    before: dict[str, str] = {}
    """What each text of a writer replaced, by the writer's own account."""
    unseen: list[str] = []

    def write(writer: str) -> None:
        for number in range(8):
            present = stored(stack)["a"]
            text = spec(f"{writer}{number}")
            command = ReplaceSpec(file_name="a", spec=text, expected=(spec_hash(present),))
            if outcome(stack, command) == "recorded":
                before[text] = present

    def edit() -> None:
        while not over.wait(0.15):
            swap = folder / ".swap"
            text = spec(f"edit{next(edits)}")
            swap.write_text(text)
            present = path.read_text()
            swap.replace(path)
            unseen.append(text)
            before.setdefault(text, present)

    with ThreadPoolExecutor() as pool:
        editing = pool.submit(edit)
        for writing in [pool.submit(write, name) for name in "xy"]:
            writing.result(120)
        over.set()
        editing.result(120)

    final = path.read_text()
    eventually(lambda: stored(stack) == {"a": final})
    replaced = {text for text in before.values() if text != final}
    lost = [text for text in unseen if text != final and text not in replaced]
    assert lost == [], "each edit was replaced only by somebody who had seen it"
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]
