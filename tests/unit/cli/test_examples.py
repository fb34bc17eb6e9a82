"""The copy of the examples that ``dagway up --examples`` follows."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.examples import copy_examples
from shared.errors import ConfigInvalid

ROOT = Path(__file__).parents[3]


def test_the_examples_are_copied_once_and_changes_of_the_copy_stay(tmp_path: Path) -> None:
    copied = copy_examples(tmp_path / "examples")

    assert (copied / "hello.yaml").read_text() == (ROOT / "examples" / "hello.yaml").read_text()
    assert (copied / "executors" / "http.yaml").is_file()
    (copied / "hello.yaml").write_text("mine")
    assert (copy_examples(copied) / "hello.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigInvalid, match="cannot copy the examples to"):
        copy_examples(tmp_path / "file" / "examples")


def test_examples_and_a_folder_exclude_each_other(tmp_path: Path) -> None:
    refused = CliRunner().invoke(cli, ["up", "--examples", "--dags", str(tmp_path)])

    assert refused.exit_code == 2
    assert "--examples and --dags (or DAGWAY_DAGS_DIR) cannot be combined" in refused.stderr
