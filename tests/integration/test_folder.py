"""A followed DAG folder that also contains links, unreadable files and other surprises, on both deployments."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.folder import Folder
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes.transaction import Store
from shared.transport.open import open_transport
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

STEPS = "steps:\n  - echo hi\n"
OTHER = "steps:\n  - echo other\n"
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def dags(stack: Stack) -> set[str]:
    return {row["file_name"] for row in stack.rows(t.dags)}


def recorded(stack: Stack, command: c.Command) -> None:
    reply = stack.ask(command)
    assert reply.outcome == "recorded", reply.error


def test_a_file_that_is_no_text_is_a_faulty_dag(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    for place in (tmp_path, tmp_path / "team"):
        (place / "bytes.yaml").write_bytes(bytes(range(256)))
        (place / "nul.yaml").write_bytes(b"steps:\n  - echo h\0i\n")
        (place / "text.yaml").write_text(STEPS)

    stack.scheduler(dags_dir=tmp_path)

    eventually(lambda: len(stack.rows(t.dags)) == 3)
    errors = {row["file_name"]: row["errors"] for row in stack.rows(t.dags)}
    assert errors["text"] == []
    assert "control characters are not allowed" in errors["nul"][0]
    assert errors["bytes"]
    assert {row["path"] for row in stack.rows(t.callable_files)} == {"team/bytes", "team/nul", "team/text"}


def test_links_hidden_folders_and_names_with_control_characters_are_passed_over(stack: Stack, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    for place in ("team", ".git", "team/odd\ttab", "elsewhere"):
        (dags / place).mkdir(parents=True)
        (dags / place / "kid.yaml").write_text(STEPS)
    (dags / "team/an ödd name.yaml").write_text(STEPS)
    (dags / "team/round").symlink_to(dags, target_is_directory=True)
    followed = stack.scheduler(dags_dir=dags).folder
    assert followed is not None

    def paths() -> set[str]:
        return {row["path"] for row in stack.rows(t.callable_files)}

    eventually(lambda: paths() == {"team/kid", "elsewhere/kid", "team/an ödd name"})
    (dags / "elsewhere/kid.yaml").unlink()
    (dags / "team/kid.yaml").rename(dags / "team/other.yaml")
    (dags / "team/an ödd name.yaml").unlink()
    eventually(lambda: paths() == {"team/other"})
    assert stack.rows(t.dags) == []


def test_what_was_removed_by_api_stays_away_while_its_file_is_unchanged(stack: Stack, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(STEPS)
    stack.scheduler(dags_dir=tmp_path)
    stack.scheduler(dags_dir=tmp_path)
    eventually(lambda: dags(stack) == {"a", "b"})
    recorded(stack, c.DeleteDag(file_name="a"))
    recorded(stack, c.RenameDag(file_name="b", new_file_name="c"))

    stack.stop_schedulers()
    (tmp_path / "a.yaml").touch()
    (tmp_path / "last.yaml").write_text(STEPS)
    stack.scheduler(dags_dir=tmp_path)
    stack.scheduler(dags_dir=tmp_path)
    eventually(lambda: "last" in dags(stack))
    assert dags(stack) == {"c", "last"}

    (tmp_path / "a.yaml").write_text(OTHER)
    eventually(lambda: dags(stack) == {"a", "c", "last"})
    (tmp_path / "b.yaml").unlink()
    eventually(lambda: stack.rows(t.passed_over) == [])
    (tmp_path / "b.yaml").write_text(STEPS)
    eventually(lambda: dags(stack) == {"a", "b", "c", "last"})


def test_a_dag_made_anew_does_not_belong_to_the_file_of_the_removed_one(stack: Stack, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(STEPS)
    stack.scheduler(dags_dir=tmp_path)
    eventually(lambda: dags(stack) == {"a", "b"})
    for name in ("a", "b"):
        recorded(stack, c.DeleteDag(file_name=name))
        stack.dag(name, OTHER)

    stack.stop_schedulers()
    (tmp_path / "last.yaml").write_text(STEPS)
    stack.scheduler(dags_dir=tmp_path)
    eventually(lambda: "last" in dags(stack))
    assert {row["version"] for row in stack.rows(t.dags)} == {1}

    (tmp_path / "a.yaml").unlink()
    (tmp_path / "b.yaml").write_text("steps:\n  - echo newer\n")
    eventually(lambda: stack.rows(t.passed_over) == [])
    eventually(lambda: [row["version"] for row in stack.rows(t.dags, file_name="b")] == [2])
    assert [row["spec_hash"] for row in stack.rows(t.dags, file_name="a")] == [spec_hash(OTHER)]


def follower(stack: Stack, folder: Path) -> Folder:
    """A follower without a thread: the test triggers each scan."""
    return Folder(Transactor(Store(stack.engine), SchedulerMemory(Plans()), utc_now), folder)


def settle(folder: Folder) -> None:
    """Run the two passes after which a file that is missing counts as deleted."""
    folder.run_once()
    folder.run_once()


def test_unreadable_files_do_not_block_others(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    (tmp_path / "b.yaml").symlink_to("/proc/self/mem")
    (tmp_path / "round.yaml").symlink_to("round.yaml")
    (tmp_path / "z.yaml").write_text(STEPS)
    follower(stack, tmp_path).run_once()
    assert dags(stack) == {"a", "z"}

    stack.scheduler(dags_dir=tmp_path)
    (tmp_path / "new.yaml").write_text(STEPS)
    eventually(lambda: dags(stack) == {"a", "new", "z"})
    (tmp_path / "z.yaml").unlink()
    eventually(lambda: dags(stack) == {"a", "new"})
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "b.yaml").write_text(STEPS)
    eventually(lambda: dags(stack) == {"a", "b", "new"})


def test_no_link_shows_what_is_outside_of_the_file_system_of_the_folder(stack: Stack, tmp_path: Path) -> None:
    dags_dir, repository = tmp_path / "dags", tmp_path / "repository.yaml"
    dags_dir.mkdir()
    repository.write_text(STEPS)
    (dags_dir / "within.yaml").symlink_to(repository)
    for name, target in {"environ": "/proc/self/environ", "again": "environ.yaml", "mounts": "/proc/mounts"}.items():
        (dags_dir / f"{name}.yaml").symlink_to(target)

    follower(stack, dags_dir).run_once()

    assert dags(stack) == {"within"}
    assert {(row["name"], row["problem"]) for row in stack.rows(t.passed_over)} == {
        (f"{name}.yaml", "cannot be read: a link to another file system") for name in ("environ", "again", "mounts")
    }


def test_a_file_that_could_not_be_read_is_tried_again(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = {"b.yaml"}
    really_open = Path.open

    def guarded(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if path.name in denied and mode == "rb":
            raise PermissionError(errno.EACCES, "Permission denied")
        return really_open(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", guarded)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(STEPS)
    folder = follower(stack, tmp_path)

    assert [folder.run_once(), folder.run_once()] == [1, 0]
    assert dags(stack) == {"a"}
    denied.clear()
    assert [folder.run_once(), folder.run_once()] == [1, 0]
    assert dags(stack) == {"a", "b"}

    denied.add("b.yaml")
    (tmp_path / "b.yaml").write_text(OTHER)
    assert folder.run_once() == 0
    assert [row["spec_hash"] for row in stack.rows(t.dags, file_name="b")] == [spec_hash(STEPS)], "what was known stays"
    (tmp_path / "b.yaml").unlink()
    settle(folder)
    assert dags(stack) == {"a"}


def test_dags_in_a_folder_that_cannot_be_listed_are_kept(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("shut", "open"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "kid.yaml").write_text(STEPS)
    folder = follower(stack, tmp_path)
    folder.run_once()
    really_list = os.scandir

    def guarded(path: Path) -> Any:
        if Path(path).name == "shut":
            raise OSError(errno.EIO, "Input/output error")
        return really_list(path)

    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", guarded)
        (tmp_path / "open/kid.yaml").unlink()
        for each in (folder, follower(stack, tmp_path)):
            settle(each)
            assert [row["path"] for row in stack.rows(t.callable_files)] == ["shut/kid"]

    (tmp_path / "shut/kid.yaml").unlink()
    settle(folder)
    assert stack.rows(t.callable_files) == []


def test_an_unchanged_invalid_file_causes_no_writes(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    (tmp_path / "b.yaml").symlink_to("/proc/self/mem")
    (tmp_path / "no\tname.yaml").write_text(STEPS)
    first, second = follower(stack, tmp_path), follower(stack, tmp_path)
    settle(first)
    assert {row["name"] for row in stack.rows(t.passed_over)} == {"b.yaml", "no\\tname.yaml"}
    sent: list[str] = []
    event.listen(stack.engine, "before_cursor_execute", lambda _c, _cursor, sql, *_: sent.append(sql))

    def writes() -> list[str]:
        return [sql for sql in sent if sql.startswith(("INSERT", "UPDATE", "DELETE"))]

    first.run_once()
    assert sent == []
    settle(second)
    assert writes() == [], "another follower finds it told already"
    (tmp_path / "no\tname.yaml").unlink()
    assert [second.run_once(), first.run_once()] == [0, 0]
    assert len(writes()) == 1
    assert {row["name"] for row in stack.rows(t.passed_over)} == {"b.yaml"}


def test_of_two_files_of_one_name_the_longer_extension_is_the_dag(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    (tmp_path / "a.yml").write_text(OTHER)
    folder = follower(stack, tmp_path)

    def found() -> list[tuple[str, int]]:
        return [(row["spec_hash"], row["version"]) for row in stack.rows(t.dags)]

    folder.run_once()
    follower(stack, tmp_path).run_once()
    assert found() == [(spec_hash(STEPS), 1)]
    [row] = stack.rows(t.passed_over)
    assert (row["name"], row["problem"]) == ("a.yml", "not loaded, because a.yaml exists: rename one of them")

    (tmp_path / "a.yaml").unlink()
    folder.run_once()
    assert found() == [(spec_hash(OTHER), 2)]
    assert stack.rows(t.passed_over) == []


@pytest.fixture
def on_postgres(migrated_database_url: str) -> Iterator[Stack]:
    """A stack on Postgres, where a transaction can wait for another one; SQLite allows one at a time."""
    made = Stack(migrated_database_url, lambda: open_transport("embedded:", name="test"))
    yield made
    made.close()


def test_a_file_that_changes_while_its_dag_is_being_removed_is_a_new_dag(on_postgres: Stack, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(STEPS)
    folder = follower(on_postgres, tmp_path)
    folder.run_once()
    (tmp_path / "a.yaml").write_text(OTHER)

    def waits() -> bool:
        with on_postgres.engine.begin() as connection:
            return bool(connection.execute(_WAITING).scalar_one())

    with ThreadPoolExecutor() as pool:

        def remove(batch: Batch) -> Future[int]:
            handle(batch, c.DeleteDag(file_name="a"))
            look = pool.submit(folder.run_once)
            eventually(waits)
            return look

        Transactor(Store(on_postgres.engine), SchedulerMemory(Plans()), utc_now).decide(remove).result(120)

    assert [(row["version"], row["folder_hash"]) for row in on_postgres.rows(t.dags)] == [(1, spec_hash(OTHER))]
    assert [row["version"] for row in on_postgres.rows(t.dag_versions)] == [1]
    assert on_postgres.rows(t.passed_over) == []
