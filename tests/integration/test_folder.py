"""A followed folder with what people leave in folders, on both footings."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from services.scheduler.commands.dags import Definitions
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.deciding.shell import Shell
from services.scheduler.loops.folder import Folder
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.migrate import migrate
from shared.store.tx import Store
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


def test_links_hidden_folders_and_names_of_no_dag_are_passed_over(stack: Stack, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    for place in ("team", ".git", "team/odd\ttab", "elsewhere"):
        (dags / place).mkdir(parents=True)
        (dags / place / "kid.yaml").write_text(STEPS)
    (dags / "team/not a name.yaml").write_text(STEPS)
    (dags / "team/round").symlink_to(dags, target_is_directory=True)
    followed = stack.scheduler(dags_dir=dags).folder
    assert followed is not None

    def paths() -> set[str]:
        return {row["path"] for row in stack.rows(t.callable_files)}

    eventually(lambda: paths() == {"team/kid", "elsewhere/kid"})
    (dags / "elsewhere/kid.yaml").unlink()
    (dags / "team/kid.yaml").rename(dags / "team/other.yaml")
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


@pytest.fixture
def on_postgres(database_url: str) -> Iterator[Stack]:
    """A stack where one transaction can wait for another; on SQLite there is one at a time."""
    migrate(database_url)
    made = Stack(database_url, lambda: open_transport("embedded:", name="test"))
    yield made
    made.close()


def test_a_file_that_changes_while_its_dag_is_being_removed_is_a_new_dag(on_postgres: Stack, tmp_path: Path) -> None:
    store = Store(on_postgres.engine)
    (tmp_path / "a.yaml").write_text(STEPS)
    folder = Folder(Shell(store, Plans(), utc_now), tmp_path)
    folder.look()
    (tmp_path / "a.yaml").write_text(OTHER)

    def waits() -> bool:
        with on_postgres.engine.begin() as connection:
            return bool(connection.execute(_WAITING).scalar_one())

    with ThreadPoolExecutor() as pool:
        with store.begin() as removing:
            Definitions(removing, Plans(), utc_now()).delete(c.DeleteDag(file_name="a"))
            look = pool.submit(folder.look)
            eventually(waits)
        look.result(10)

    assert [(row["version"], row["folder_hash"]) for row in on_postgres.rows(t.dags)] == [(1, spec_hash(OTHER))]
    assert [row["version"] for row in on_postgres.rows(t.dag_versions)] == [1]
    assert on_postgres.rows(t.passed_over) == []
