"""Archives of formats that Dagway cannot create, and encrypted archives: extraction follows the same rules."""

import base64
import json
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import pyzipper

from shared.contracts.events import AttemptFinished
from shared.language.model import Step, StepCommand
from tests.harness.needs import need
from tests.harness.worker_rig import Rig, task


def run(rig: Rig, operation: str, env: dict[str, str] | None = None, **config: Any) -> AttemptFinished:
    step = Step(name="s", type="archive", commands=(StepCommand(text=operation),), config=config)
    return rig.run(task(step, env=tuple((env or {}).items())))


def done(rig: Rig, operation: str, **config: Any) -> dict[str, Any]:
    finished = run(rig, operation, **config)
    assert finished.outcome == "succeeded", finished.error
    found: dict[str, Any] = json.loads(rig.log(finished, "stdout"))
    return found


def seven_zip(path: Path, *members: tuple[str, bytes]) -> None:
    """Write a 7z archive with members of these names, valid or not."""
    plain = path.with_suffix(".made.tar")
    with tarfile.open(plain, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            (path.parent / "member").write_bytes(data)
            with (path.parent / "member").open("rb") as file:
                tar.addfile(info, file)
    subprocess.run(["bsdtar", "-c", "-f", str(path), "--format", "7zip", f"@{plain}"], check=True)
    plain.unlink()
    (path.parent / "member").unlink()


def rar(path: Path, *members: tuple[str, bytes], flags: int = 0) -> None:
    """Write a RAR 4 archive of uncompressed members, since no free program can create one."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data

    parts = [b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6))]
    for name, data in members:
        sizes = len(data), len(data), 3, zlib.crc32(data)
        head = struct.pack("<IIBIIBBHI", *sizes, 0x5A210000, 20, 0x30, len(name), 0o100644)
        parts.append(block(0x74, 0x8000 | flags, head + name.encode(), data))
    path.write_bytes(b"".join([*parts, block(0x7B, 0x4000, b"")]))


MAKE = {"7z": seven_zip, "rar": rar}
ENCRYPTED = {
    "7z": (
        "N3q8ryccAARFmI7BeQAAAAAAAAAUAAAAAAAAAIHWvcrmkVufwoAphk7F56M9Vb71AQBkAQQGAAEJEAoBlJWMHgAHCwEAAiQG8QcBElMPchAuEBza"
        "qUc7icVcvbnCSSEhARgBAAwLBwAICgGMsuviAAAFARENAHMALgB0AHgAdAAAABQKAQBQFTGwZ3zdARUGAQAggKSBAAAAFwYQAQlpAAcLAQABISEB"
        "GAxlAAA="
    ),
    "7z with a hidden table": (
        "N3q8ryccAARpwoF8gAAAAAAAAAAoAAAAAAAAAMuFV72TUpBqUpXVrClTtin6+09RTbRsNGYWZerLMeiQ+i9kaIQcvEsjvbXsOoi7VMytuHf1C9av"
        "02P763n6jbBxi3MloqwNub4o+05bfAkd0DkGMGlbVt+mLafSducAcgmRdsarAzkO8Yy8Y1Y3fWghNemlLy+xlaY35B1OUacS7eg1kRcGEAEJcAAH"
        "CwEAASQG8QcBElMP1wBrp5BViNAVkLyL79AO8QxlAAA="
    ),
    "rar 5": (
        "UmFyIRoHAQDFGjMyAwEAAKsWLBQ6AgMlBQQFpIMCajng0AABBWEudHh0JAEAAA8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AGFscGhhGbI6NQMFAAA="
    ),
}
"""Archives of one file, encrypted with ``pw`` or with the headers of an encrypted archive.

They are stored here because no free program can create them.
"""


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_an_archive_of_another_program_is_listed_and_extracted(rig: Rig, kind: str) -> None:
    need("bsdtar")
    MAKE[kind](rig.work_dir() / f"x.{kind}", ("a.txt", b"alpha\n"), ("sub/b.log", b"beta\n" * 100))

    listed = done(rig, "list", source=f"x.{kind}")
    taken = done(rig, "extract", source=f"x.{kind}", destination="back", include=["**/*.log"])

    assert {(one["path"], one["size"]) for one in listed["files"]} == {("a.txt", 6), ("sub/b.log", 500)}
    assert (taken["filesExtracted"], taken["filesSkipped"]) == (1, 1)
    assert (rig.work_dir() / "back/sub/b.log").read_bytes() == b"beta\n" * 100


@pytest.mark.parametrize("kind", sorted(MAKE))
@pytest.mark.parametrize("name", ["../out.txt", "/tmp/dagway-out.txt", "a/../../out.txt"])
def test_no_member_is_written_outside_the_destination(rig: Rig, kind: str, name: str) -> None:
    need("bsdtar")
    MAKE[kind](rig.work_dir() / f"bad.{kind}", (name, b"x"))

    finished = run(rig, "extract", source=f"bad.{kind}", destination="back")

    if kind == "7z" and name.startswith("/"):
        # The program itself takes the slash off.
        assert (rig.work_dir() / f"back{name}").read_bytes() == b"x"
    else:
        assert (finished.outcome, finished.exit_code) == ("failed", 6)
    assert {path.name for path in rig.work_dir().iterdir()} <= {f"bad.{kind}", "back"}
    assert not Path("/tmp/dagway-out.txt").exists()


def test_a_damaged_archive_is_recognized(rig: Rig) -> None:
    need("bsdtar")
    path = rig.work_dir() / "x.rar"
    rar(path, ("a.txt", b"alpha" * 1000))
    path.write_bytes(path.read_bytes()[:2000])

    assert run(rig, "extract", source="x.rar", destination="back").exit_code == 12


@pytest.mark.parametrize("kind", ["rar", *ENCRYPTED])
def test_an_encrypted_archive_is_refused_with_an_exit_code_of_its_own(rig: Rig, kind: str) -> None:
    need("bsdtar")
    path = rig.work_dir() / f"x.{kind.split(maxsplit=1)[0]}"
    if kind == "rar":
        rar(path, ("first.txt", b"1"), ("a.txt", b"alpha"), flags=0x04)
    else:
        path.write_bytes(base64.b64decode(ENCRYPTED[kind]))

    finished = run(rig, "extract", source=path.name, destination="back", password="pw")

    assert finished.exit_code == 13
    assert f"encrypted {path.suffix[1:]} archives are not supported" in finished.error


def test_a_worker_without_the_program_says_which_it_needs(rig: Rig) -> None:
    (rig.work_dir() / "x.7z").write_bytes(b"7z")
    finished = run(rig, "list", {"PATH": "/nowhere"}, source="x.7z")

    assert finished.exit_code == 5
    assert "7z needs the program bsdtar on the worker" in finished.error


def test_a_zip_with_a_password_is_made_and_opened(rig: Rig) -> None:
    (rig.work_dir() / "in").mkdir()
    (rig.work_dir() / "in/a.txt").write_text("alpha\n")
    (rig.work_dir() / "in/link").symlink_to("a.txt")

    done(rig, "create", source="in", destination="x.zip", password="open sesame", verifyIntegrity=True)
    taken = done(rig, "extract", source="x.zip", destination="back", password="open sesame")

    assert (taken["filesExtracted"], (rig.work_dir() / "back/in/a.txt").read_text()) == (2, "alpha\n")
    assert (rig.work_dir() / "back/in/link").readlink() == Path("a.txt")
    assert done(rig, "list", source="x.zip")["totalFiles"] == 3
    assert b"alpha" not in (rig.work_dir() / "x.zip").read_bytes()
    with zipfile.ZipFile(rig.work_dir() / "x.zip") as made:
        packed = {info.filename: info.compress_type for info in made.infolist() if not info.is_dir()}
        assert packed == {"in/a.txt": 99, "in/link": 99}, "AES"
    assert [run(rig, "extract", source="x.zip", destination="b2", password=word).exit_code for word in ("", "no")] == [
        13,
        13,
    ]


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/dagway-out.txt"])
def test_no_member_of_an_encrypted_zip_is_written_outside_the_destination(rig: Rig, name: str) -> None:
    with pyzipper.AESZipFile(rig.work_dir() / "bad.zip", "w", encryption=pyzipper.WZ_AES) as made:
        made.setpassword(b"p")
        made.writestr(name, "x")

    finished = run(rig, "extract", source="bad.zip", destination="back", password="p")

    assert finished.exit_code == 6
    assert not Path("/tmp/dagway-out.txt").exists()
    assert list((rig.work_dir() / "back").iterdir()) == []
