"""Hostile archives: nothing leaves the destination and nothing grows without limit, on every supported Python.

The child script runs alone here, as a worker would start it.
"""

import gzip
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hostile_archives import HOSTILE_ARCHIVES, file, link

_CHILD = Path(__file__).parents[2] / "services/worker/executors/archive/child.py"


@dataclass
class Ended:
    code: int
    stderr: str


def extract(source: Path, operation: str = "extract", **config: Any) -> Ended:
    paths = {"source": str(source), "destination": str(source.parent / "back")}
    order = {"operation": operation, **paths, "written": paths, **config}
    ended = subprocess.run(
        [sys.executable, "-I", str(_CHILD)], input=json.dumps(order).encode(), capture_output=True, check=False
    )
    return Ended(ended.returncode, ended.stderr.decode())


def assert_nothing_left(work: Path) -> None:
    assert {path.name for path in work.iterdir()} <= {"bad", "back", "victim"}
    victim = work / "victim"
    assert (victim.read_text(), victim.stat().st_nlink) == ("mine", 1)
    for path in (work / "back").rglob("*"):
        assert path.name == "existing" or path.resolve().is_relative_to(work / "back"), path


@pytest.mark.parametrize("make", HOSTILE_ARCHIVES, ids=lambda make: make.__name__)
def test_a_hostile_tar_is_refused(tmp_path: Path, make: Callable[[tarfile.TarFile], None]) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back/existing").symlink_to("..")
    (tmp_path / "victim").write_text("mine")
    with tarfile.open(tmp_path / "bad", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        make(tar)

    ended = extract(tmp_path / "bad", exclude=["skipped"], overwrite=True, maxEntries=100, maxBytes=1 << 20)

    assert ended.code == 6, ended
    assert HOSTILE_ARCHIVES[make] in ended.stderr
    assert_nothing_left(tmp_path)
    assert not (tmp_path / "back/x").exists(), "an unfinished file is removed"


@pytest.mark.parametrize(("name", "target"), [("a/link", "../../victim"), ("link", "a/../../victim"), ("link", "/etc")])
def test_a_hostile_link_of_a_zip_is_refused(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "victim").write_text("mine")
    with zipfile.ZipFile(tmp_path / "bad", "w") as made:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        made.writestr(info, target)

    assert extract(tmp_path / "bad").code == 6
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("kind", ["zip", "gz", "tar.gz"])
@pytest.mark.parametrize("operation", ["extract", "list"])
def test_a_bomb_stops_at_the_ratio(tmp_path: Path, kind: str, operation: str) -> None:
    path, data = tmp_path / f"bomb.{kind}", bytes(70 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("x", data)
    elif kind == "gz":
        path.write_bytes(gzip.compress(data))
    else:
        with tarfile.open(path, "w:gz") as tar:
            file(tar, "x", data)

    ended = extract(path, operation, verifyIntegrity=True)

    assert (ended.code, "more than 250 times its size: set maxRatio" in ended.stderr) == (6, True), ended
    assert extract(path, operation, maxRatio=2000).code == 0


def test_links_within_the_destination_are_kept(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "good.tar", "w") as tar:
        file(tar, "p/a/x")
        link(tar, "p/b/up", "../a/x")
        link(tar, "p/hard", "p/a/x", tarfile.LNKTYPE)

    ended = extract(tmp_path / "good.tar", stripComponents=1)

    assert ended.code == 0, ended
    assert (tmp_path / "back/b/up").read_bytes() == b"written"
    assert (tmp_path / "back/hard").samefile(tmp_path / "back/a/x")
