"""The samples of CPU, memory and disk that the dashboard shows."""

import os
from pathlib import Path

import pytest

from services.api.machine_load import Resources


def test_a_disk_is_as_full_as_df_says(tmp_path: Path) -> None:
    resources = Resources(tmp_path)

    resources.sample()

    [point] = resources.last(60)["disk"]
    found = os.statvfs(tmp_path)
    used = found.f_blocks - found.f_bfree
    assert point["value"] == pytest.approx(100 * used / (used + found.f_bavail), abs=0.5)
