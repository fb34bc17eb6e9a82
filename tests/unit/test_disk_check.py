"""A data folder that cannot be written: why, and what to do about it."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.disk import DiskCheck

_WITHOUT_FILES = """
import resource, sys
from pathlib import Path
from shared.disk import DiskCheck

check = DiskCheck(Path(sys.argv[1]))
assert (check.problem(), check.cure) == ("", "")
late = DiskCheck(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(late.problem(), late.cure, sep="|")
"""


@pytest.mark.parametrize("limit", [3, 12])
def test_a_process_that_may_open_few_more_files_is_not_told_to_free_disk_space(tmp_path: Path, limit: int) -> None:
    said = subprocess.check_output([sys.executable, "-c", _WITHOUT_FILES, str(tmp_path), str(limit)], text=True)

    assert said.strip().split("|") == [
        "the data folder cannot be written: Too many open files",
        "raise the limit of open files, or look for what holds them",
    ]


def test_a_folder_that_is_missing_is_to_be_made_writable(tmp_path: Path) -> None:
    missing = DiskCheck(tmp_path / "missing")

    assert missing.problem() == "the data folder cannot be written: No such file or directory"
    assert missing.cure == "make the data folder writable"
