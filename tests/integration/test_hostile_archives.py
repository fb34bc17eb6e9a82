"""Hostile archives: nothing leaves the destination and nothing grows without limit, on every supported Python.

The child script runs alone here, as a worker would start it.
"""

import gzip
import io
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

_CHILD = Path(__file__).parents[2] / "services/worker/executors/archive/child.py"
_LONG = "d" * 247
"""Sixteen of these make a path that is longer than the kernel resolves at once."""
_STEPS = "abcdefghijklmnop"


@dataclass
class Ended:
    code: int
    stderr: str


def extract(source: Path, operation: str = "extract", **config: Any) -> Ended:
    order = {"operation": operation, "source": str(source), "destination": str(source.parent / "back"), **config}
    ended = subprocess.run(
        [sys.executable, "-I", str(_CHILD)], input=json.dumps(order).encode(), capture_output=True, check=False
    )
    return Ended(ended.returncode, ended.stderr.decode())


def folder(tar: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(info)


def link(tar: tarfile.TarFile, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    tar.addfile(info)


def file(tar: tarfile.TarFile, name: str, data: bytes = b"written", **pax: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = len(data), pax
    tar.addfile(info, io.BytesIO(data))


def long_chain(tar: tarfile.TarFile) -> str:
    """Make the links of CVE-2025-4517, whose target older Pythons cannot resolve. Returns one that leads outside."""
    path = ""
    for step in _STEPS:
        folder(tar, f"{path}{_LONG}")
        link(tar, f"{path}{step}", _LONG)
        path += f"{_LONG}/"
    back = "/".join(_STEPS) + "/" + "l" * 254
    link(tar, back, "../" * len(_STEPS))
    link(tar, "escape", f"{back}/..")
    return "escape"


def chain_to_a_file(tar: tarfile.TarFile) -> None:
    file(tar, f"{long_chain(tar)}/written")


def chain_to_a_hard_link(tar: tarfile.TarFile) -> None:
    link(tar, "victim-2", f"{long_chain(tar)}/victim", tarfile.LNKTYPE)
    file(tar, "victim-2")


def link_that_a_later_member_turns(tar: tarfile.TarFile) -> None:
    folder(tar, "d")
    link(tar, "escape", "d/here/../..")
    link(tar, "d/here", ".")


def hard_link_that_lifts_a_link(tar: tarfile.TarFile) -> None:
    folder(tar, "a/b")
    link(tar, "a/b/l", "../../x")
    link(tar, "l", "a/b/l", tarfile.LNKTYPE)


def hard_link_up(tar: tarfile.TarFile) -> None:
    link(tar, "got", "../victim", tarfile.LNKTYPE)


def hard_link_through_a_link(tar: tarfile.TarFile) -> None:
    link(tar, "got", "existing/victim", tarfile.LNKTYPE)


def file_through_a_link(tar: tarfile.TarFile) -> None:
    file(tar, "existing/victim")


def folder_through_a_link(tar: tarfile.TarFile) -> None:
    folder(tar, "existing/made")


def pipe(tar: tarfile.TarFile) -> None:
    link(tar, "pipe", "", tarfile.FIFOTYPE)


def deep_tree(tar: tarfile.TarFile) -> None:
    file(tar, "d/" * 300 + "x")


def many_members(tar: tarfile.TarFile) -> None:
    for number in range(101):
        folder(tar, str(number))


def large_file(tar: tarfile.TarFile) -> None:
    file(tar, "x", bytes(2 << 20))


def large_skipped_file(tar: tarfile.TarFile) -> None:
    file(tar, "skipped", bytes(2 << 20))


def large_header(tar: tarfile.TarFile) -> None:
    file(tar, "x", comment="x" * (2 << 20))


def sparse_file(tar: tarfile.TarFile) -> None:
    file(tar, "x", b"x", **{"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)})


HOSTILE: dict[Callable[[tarfile.TarFile], None], str] = {
    chain_to_a_file: "is a link",
    chain_to_a_hard_link: "is a link",
    link_that_a_later_member_turns: "is a link to 'd/here/../..'",
    hard_link_that_lifts_a_link: "not a regular file",
    hard_link_up: "outside the destination",
    hard_link_through_a_link: "its folder 'existing' is a link",
    file_through_a_link: "its folder 'existing' is a link",
    folder_through_a_link: "its folder 'existing' is a link",
    pipe: "a device or a pipe",
    deep_tree: "more than 256 folders deep",
    many_members: "more than 100 members: set maxEntries",
    large_file: "more than 1048576 bytes: set maxBytes",
    large_skipped_file: "more than 1048576 bytes: set maxBytes",
    large_header: "more than 1048576 bytes: set maxBytes",
    sparse_file: "more than 1048576 bytes: set maxBytes",
}


def assert_nothing_left(work: Path) -> None:
    assert {path.name for path in work.iterdir()} <= {"bad", "back", "victim"}
    victim = work / "victim"
    assert (victim.read_text(), victim.stat().st_nlink) == ("mine", 1)
    for path in (work / "back").rglob("*"):
        assert path.name == "existing" or path.resolve().is_relative_to(work / "back"), path


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_tar_is_refused(tmp_path: Path, make: Callable[[tarfile.TarFile], None]) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back/existing").symlink_to("..")
    (tmp_path / "victim").write_text("mine")
    with tarfile.open(tmp_path / "bad", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        make(tar)

    ended = extract(tmp_path / "bad", exclude=["skipped"], overwrite=True, maxEntries=100, maxBytes=1 << 20)

    assert ended.code == 6, ended
    assert HOSTILE[make] in ended.stderr
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
