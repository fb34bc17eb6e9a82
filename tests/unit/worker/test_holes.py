"""Files of which a part was never written."""

import errno
import os
from pathlib import Path

import pytest

from services.worker.output.holes import has_holes


def test_a_file_system_that_cannot_tell_has_no_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with (tmp_path / "log").open("w+b", buffering=0) as file:
        file.truncate(1 << 20)
        assert has_holes(file.fileno())
        monkeypatch.setattr(os, "lseek", refuse)
        assert not has_holes(file.fileno())
