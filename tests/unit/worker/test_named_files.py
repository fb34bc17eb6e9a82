"""Files that a DAG names and that the worker itself opens."""

import os
from pathlib import Path

import pytest

from services.worker.inputs.dotenv import read_dotenv
from services.worker.inputs.named_files import EVERYTHING


@pytest.mark.timeout(20)
def test_what_is_no_file_is_neither_waited_for_nor_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = {each.name for each in Path("/dev/fd").iterdir()}

    for name in ("pipe", ".", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            EVERYTHING.open_to_read(tmp_path / name)
        assert read_dotenv([name], [tmp_path], {}) == {}

    assert {each.name for each in Path("/dev/fd").iterdir()} == before
