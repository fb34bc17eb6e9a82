"""A DAG folder that is a checkout of git-sync: a link to a worktree, replaced with each commit; on both deployments."""

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.deciding.dag_folder.dag_files import RefusedChanges
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.folder import Folder
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes.transaction import Store
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.integration.scheduler_stack import Stack


def spec(word: str) -> str:
    return f"steps:\n  - echo {word}\n"


class Repository:
    """A bare repository, an author's clone, and a checkout as git-sync v4 keeps it below ``root``."""

    def __init__(self, folder: Path) -> None:
        need("git")
        self.remote, self._clone, self.root = folder / "remote.git", folder / "clone", folder / "root"
        self.dags = self.root / "current/flows"
        """The DAG folder of a scheduler."""
        _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        _git(folder, "clone", "--quiet", str(self.remote), str(self._clone))
        _git(folder, "init", "--quiet", str(self.root))
        (self._clone / "flows/lib").mkdir(parents=True)

    def push(self, files: dict[str, str | None]) -> None:
        """Commit and push these texts of files in ``flows``; ``None`` deletes a file."""
        for name, text in files.items():
            path = self._clone / "flows" / name
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        _git(self._clone, "add", "--all")
        _git(self._clone, "commit", "--quiet", "--message=change")
        _git(self._clone, "push", "--quiet", "origin", "HEAD:main")

    @property
    def worktree(self) -> Path:
        """The worktree that the link names."""
        return Path(os.path.realpath(self.root / "current"))

    def sync(self) -> None:
        """Fetch, add a worktree of the commit, rename a new link over the old one, and remove the other worktrees."""
        _git(self.root, "fetch", "--quiet", "--depth=1", self.remote.as_uri(), "main")
        commit = _git(self.root, "rev-parse", "FETCH_HEAD")
        new = self.root / ".worktrees" / commit
        _git(self.root, "worktree", "add", "--quiet", "--force", "--detach", str(new), commit)
        link = self.root / "new-link"
        link.symlink_to(Path(".worktrees") / commit)
        link.replace(self.root / "current")
        for old in (self.root / ".worktrees").iterdir():
            if old != new:
                shutil.rmtree(old)
        _git(self.root, "worktree", "prune")


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ["git", *who, *arguments]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.push({"a.yaml": spec("a1"), "b.yaml": spec("b1"), "lib/kid.yaml": spec("kid1")})
    return made


def stored(stack: Stack) -> dict[str, str]:
    """Return the texts of all DAGs and callable files."""
    rows = [(row["file_name"], row["spec_hash"]) for row in stack.rows(t.dags)]
    rows += [(row["path"], row["spec_hash"]) for row in stack.rows(t.callable_files)]
    specs = {row["hash"]: row["yaml"] for row in stack.rows(t.specs)}
    return {name: specs[text_hash] for name, text_hash in rows}


FIRST = {"a": spec("a1"), "b": spec("b1"), "lib/kid": spec("kid1")}


def test_commits_are_followed_and_one_scheduler_is_enough(stack: Stack, repository: Repository) -> None:
    stack.scheduler()
    stack.scheduler(dags_dir=repository.dags)
    stack.dag("made-by-api", spec("own"))
    own = {"made-by-api": spec("own")}
    repository.sync()
    eventually(lambda: stored(stack) == FIRST | own)

    repository.push({"a.yaml": spec("a2"), "b.yaml": None, "c.yaml": spec("c2"), "lib/kid.yaml": spec("kid2")})
    repository.sync()
    second = {"a": spec("a2"), "c": spec("c2"), "lib/kid": spec("kid2")}
    eventually(lambda: stored(stack) == second | own)
    versions = {row["file_name"]: row["version"] for row in stack.rows(t.dags)}
    assert versions == {"a": 2, "c": 1, "made-by-api": 1}

    repository.push({"a.yaml": spec("a1"), "lib/kid.yaml": None})
    repository.sync()
    eventually(lambda: stored(stack) == {"a": spec("a1"), "c": spec("c2")} | own)
    assert {row["file_name"]: row["version"] for row in stack.rows(t.dags)} == {"a": 3, "c": 1, "made-by-api": 1}


def follower(stack: Stack, repository: Repository) -> Folder:
    """A follower without a thread: the test triggers each pass."""
    return Folder(Transactor(Store(stack.engine), SchedulerMemory(Plans()), utc_now), repository.dags)


def look(folder: Folder, passes: int = 3) -> None:
    for _ in range(passes):
        folder.look()


def test_a_checkout_that_is_missing_deletes_nothing(stack: Stack, repository: Repository) -> None:
    repository.sync()
    look(follower(stack, repository))
    assert stored(stack) == FIRST
    kept = repository.root.parent / "kept"

    # Nothing is there yet; no link; a link to nothing; a commit without the folder of the DAGs.
    running = follower(stack, repository)
    look(running)
    link, flows = repository.root / "current", repository.worktree / "flows"
    for taken in (repository.root, link, repository.worktree, flows):
        taken.rename(kept)
        for each in (running, follower(stack, repository)):
            look(each)
            assert stored(stack) == FIRST, taken
        kept.rename(taken)
    look(running)
    assert stored(stack) == FIRST


def test_a_checkout_that_is_being_removed_deletes_nothing(stack: Stack, repository: Repository) -> None:
    """As git-sync does if the worktree fails its check: remove it where it is, then make it again."""
    repository.sync()
    running = follower(stack, repository)
    look(running)
    for name in ("a.yaml", "lib/kid.yaml"):
        (repository.dags / name).unlink()
        look(running, passes=1)
        assert stored(stack) == FIRST
    shutil.rmtree(repository.worktree)
    look(running)
    assert stored(stack) == FIRST
    repository.sync()
    look(running)
    assert stored(stack) == FIRST
    assert {row["version"] for row in stack.rows(t.dags)} == {1}

    # What is really deleted goes in the second pass.
    repository.push({"b.yaml": None})
    repository.sync()
    look(running, passes=1)
    assert "b" in stored(stack)
    look(running, passes=1)
    assert "b" not in stored(stack)


def test_a_commit_during_a_listing_deletes_nothing(
    stack: Stack, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.sync()
    running = follower(stack, repository)
    look(running)
    repository.push({"a.yaml": spec("a2"), "b.yaml": None})
    really_list, commits = os.scandir, iter([repository.sync])

    def listed(path: Any) -> Any:
        """The new checkout replaces the old one between the listings of two folders."""
        if str(path).endswith("/lib"):
            next(commits, lambda: None)()
        return really_list(path)

    monkeypatch.setattr(os, "scandir", listed)
    running.look()
    assert stored(stack) == FIRST
    look(running, passes=2)
    assert stored(stack) == {"a": spec("a2"), "lib/kid": spec("kid1")}


def test_nothing_disappears_while_commits_come_fast(stack: Stack, repository: Repository) -> None:
    """A callable file that is in every commit can always be called."""
    repository.sync()
    running = follower(stack, repository)
    look(running)
    ended = threading.Event()
    passes = 0
    numbers: list[int] = []

    def commit() -> None:
        try:
            # On a busy machine the follower may be slower than the author.
            while len(numbers) < 15 or passes <= 15:
                repository.push({"a.yaml": spec(f"number {len(numbers)}")})
                numbers.append(len(numbers))
                repository.sync()
        finally:
            ended.set()

    author = threading.Thread(target=commit)
    author.start()
    while not ended.is_set():
        running.look()
        passes += 1
        assert set(stored(stack)) == set(FIRST)
    author.join()
    look(running)
    assert stored(stack) == FIRST | {"a": spec(f"number {numbers[-1]}")}
    assert passes > 15


def test_where_dags_come_from_git_the_api_does_not_change_them(stack: Stack, repository: Repository) -> None:
    stack.scheduler()
    stack.dag("made-before", spec("own"))
    stack.stop_schedulers()
    repository.sync()
    # The one that carries out the command may have no folder.
    stack.scheduler(dag_files=RefusedChanges())
    stack.scheduler(dag_files=RefusedChanges(), dags_dir=repository.dags)
    eventually(lambda: stored(stack) == FIRST | {"made-before": spec("own")})

    changes: list[c.Command] = [
        c.CreateDag(file_name="new", spec=spec("new")),
        c.PutSpec(file_name="a", spec=spec("edited")),
        c.RenameDag(file_name="a", new_file_name="z"),
        c.DeleteDag(file_name="a"),
    ]
    for change in changes:
        reply = stack.ask(change)
        assert reply.error is not None, change
        assert (reply.error.code, "in Git (DAGWAY_DAGS_WRITE=refuse)" in reply.error.message) == ("forbidden", True)
    assert stored(stack) == FIRST | {"made-before": spec("own")}
    for allowed in (c.SuspendDag(file_name="a", suspend=True), c.DeleteDag(file_name="made-before")):
        assert stack.ask(allowed).outcome == "recorded"
    assert stored(stack) == FIRST
    assert {row["file_name"]: row["suspended"] for row in stack.rows(t.dags)} == {"a": True, "b": False}

    repository.push({"a.yaml": spec("a2")})
    repository.sync()
    eventually(lambda: stored(stack)["a"] == spec("a2"))
    assert stack.rows(t.dags, file_name="a")[0]["suspended"] is True
