"""The copy of the examples that ``dagway up --examples`` follows."""

import signal
import subprocess
import sys
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


_COPY_INTERRUPTED = """
import os, pathlib, signal, sys
def die(event, args):
    if event == "open" and str(args[0]).startswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
from services.cli.examples import copy_examples
copy_examples(pathlib.Path(sys.argv[1], "data", "examples"))
"""


def test_an_interrupted_copy_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    killed = subprocess.run([sys.executable, "-c", _COPY_INTERRUPTED, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert any((tmp_path / "data").iterdir())

    copied = copy_examples(tmp_path / "data" / "examples")

    assert sorted(path.name for path in copied.rglob("*.yaml")) == sorted(
        path.name for path in (ROOT / "examples").rglob("*.yaml")
    )
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["examples"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigInvalid, match="cannot copy the examples to"):
        copy_examples(tmp_path / "file" / "examples")


def test_examples_and_a_folder_exclude_each_other(tmp_path: Path) -> None:
    refused = CliRunner().invoke(cli, ["up", "--examples", "--dags", str(tmp_path)])

    assert refused.exit_code == 2
    assert "--examples and --dags (or DAGWAY_DAGS_DIR) cannot be combined" in refused.stderr
