"""A DAG folder on a file system that does not answer, as that of a dead NFS server, on both deployments."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.loops.folder import Folder
from shared.contracts import commands as c
from shared.settings.config import load_config
from shared.store import tables as t
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

STEPS = "steps:\n  - echo hi\n"


class SlowFolder:
    """Lists ``path`` only while it ``answers``."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.error: OSError | None = None
        self._path, self._really_list = path, os.scandir
        monkeypatch.setattr(os, "scandir", self._list)

    def _list(self, path: Any) -> Any:
        if str(path) == str(self._path):
            self.answers.wait()
            if self.error is not None:
                raise self.error
        return self._really_list(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowFolder]:
    (tmp_path / "a.yaml").write_text(STEPS)
    made = SlowFolder(tmp_path, monkeypatch)
    yield made
    made.answers.set()


@pytest.mark.parametrize("error", [None, OSError(errno.ESTALE, "Stale file handle")])
def test_a_process_starts_without_knowing_whether_its_folder_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    answers, really_ask = threading.Event(), os.stat

    def ask(path: Any, **options: Any) -> os.stat_result:
        if path == tmp_path:
            if error is not None:
                raise error
            answers.wait()
        return really_ask(path, **options)

    with monkeypatch.context() as broken:
        broken.setattr(os, "stat", ask)
        assert load_config({}, {"DAGWAY_DAGS_DIR": str(tmp_path)}).dags_dir == tmp_path
        answers.set()


def told(stack: Stack) -> list[tuple[str, str]]:
    return [(row["name"], row["problem"]) for row in stack.rows(t.passed_over)]


def test_a_scheduler_does_everything_else_while_the_folder_is_silent(
    stack: Stack, tmp_path: Path, folder: SlowFolder
) -> None:
    scheduler = stack.scheduler(dags_dir=tmp_path, dag_files=DagFiles(tmp_path), dags_answer_s=0.1)

    assert scheduler.trouble == ""
    [(name, problem)] = told(stack)
    assert (name, problem.split(":")[0]) == ("(DAG folder)", "does not answer")
    refused = stack.ask(c.CreateDag(file_name="b", spec=STEPS)).error
    assert refused is not None
    assert (refused.code, refused.message) == (
        "service_unavailable",
        "the file of DAG b cannot be written: the DAG folder does not answer",
    )
    assert stack.ask(c.StartInline(dag_name="inline", dag_run_id="r1", spec=STEPS)).outcome == "recorded"
    stack.worker.run(stack.worker.task())
    stack.until("succeeded")

    folder.answers.set()
    eventually(lambda: [row["file_name"] for row in stack.rows(t.dags)] == ["a"])
    eventually(lambda: told(stack) == [])
    stack.dag("b", STEPS)


@pytest.mark.parametrize("question", ["access", "listdir"])
def test_a_folder_that_becomes_silent_during_a_pass_keeps_nobody_waiting(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    asked, answers, really_ask = threading.Event(), threading.Event(), getattr(os, question)

    def ask(path: Any, *more: Any) -> Any:
        if str(path).startswith(str(tmp_path)):
            asked.set()
            answers.wait()
        return really_ask(path, *more)

    monkeypatch.setattr(os, question, ask)
    transactor = PoolRig(stack).transactor
    transactor.memory.files = DagFiles(tmp_path, tmp_path)
    folder = Folder(transactor, tmp_path, answer_s=0.1)
    looking = threading.Thread(target=folder.look, daemon=True)
    looking.start()
    asked.wait(PATIENCE_S)
    looking.join(PATIENCE_S)
    assert not looking.is_alive()
    assert [name for name, _ in told(stack)] == ["(DAG folder)"]

    answers.set()
    eventually(lambda: told(stack) == [])


def test_the_question_for_a_suspend_flag_may_stay_unanswered_too(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    asked, answers, really_ask = threading.Event(), threading.Event(), os.stat

    def ask(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(".suspend"):
            asked.set()
            answers.wait()
        return really_ask(path, **options)

    monkeypatch.setattr(os, "stat", ask)
    transactor = PoolRig(stack).transactor
    files = transactor.memory.files = DagFiles(tmp_path, tmp_path)
    folder = Folder(transactor, tmp_path, answer_s=0.1)
    looking = threading.Thread(target=folder.look, daemon=True)
    looking.start()
    try:
        assert asked.wait(PATIENCE_S)
        eventually(files.silent)
    finally:
        answers.set()
    eventually(lambda: not files.silent())
    looking.join(PATIENCE_S)


def test_a_folder_that_cannot_be_listed_says_so_in_the_list_of_dags(
    stack: Stack, tmp_path: Path, folder: SlowFolder
) -> None:
    folder.error = OSError(errno.ESTALE, "Stale file handle")
    folder.answers.set()
    stack.scheduler(dags_dir=tmp_path)
    assert told(stack) == [("(DAG folder)", "cannot be read: Stale file handle")]

    folder.error = None
    eventually(lambda: [row["file_name"] for row in stack.rows(t.dags)] == ["a"])
    eventually(lambda: told(stack) == [])
