"""A followed folder with what people leave in folders, on both footings."""

from pathlib import Path

from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

STEPS = "steps:\n  - echo hi\n"


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
