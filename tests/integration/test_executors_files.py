"""The jq and archive executors, through a real worker and real child processes."""

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from services.worker.process.guardian_process import GuardianProcess
from shared.contracts.control import StopAttempt
from shared.language.model import Step, StepCommand
from tests.harness.worker_rig import Rig, task


def jq(text: str, given: str, **config: Any) -> Step:
    return Step(name="s", type="jq", commands=(StepCommand(text=text),), script=given, config=config)


def archive(operation: str, **config: Any) -> Step:
    return Step(name="s", type="archive", commands=(StepCommand(text=operation),), config=config)


def done(rig: Rig, operation: str, **config: Any) -> dict[str, Any]:
    finished = rig.run(task(archive(operation, **config)))
    assert finished.outcome == "succeeded", finished.error
    found: dict[str, Any] = json.loads(rig.log(finished, "stdout"))
    return found


def tree(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha\n")
    (folder / "sub" / "b.log").write_text("beta\n" * 100)
    (folder / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "sub" / "run.sh").chmod(0o755)


def test_an_archive_step_shows_its_paths_as_they_are_written(rig: Rig) -> None:
    tree(rig.work_dir() / "in")
    packed = str(rig.work_dir() / "x.zip")

    made = done(rig, "create", source="./in", destination="x.zip")
    back = done(rig, "extract", source=packed, destination="out/")

    assert (made["source"], made["destination"]) == ("./in", "x.zip")
    assert (back["source"], back["destination"]) == (packed, "out/")


@pytest.mark.parametrize(
    ("text", "given", "raw", "printed"),
    [
        (".a", '{"a": "x"}', True, b"x\n"),
        (".a", '{"a": "x"}', False, b'"x"\n'),
        (".[]", "[1, [2]]", False, b"1\n[\n    2\n]\n"),
        (".a", '{"a": "${P} é"}', True, "value é\n".encode()),
        (". as $P | $P", '"$$"', True, b"$$\n"),
        ("env, $ENV.PATH", "1", False, b"{}\nnull\n"),
        (".[]", '[null, true, {"b": [1, {}], "a": "<"}]', True, b'\ntrue\n{"a":"\\u003c","b":[1,{}]}\n'),
        (".", '{"b": "<&>", "a": {}}', False, b'{\n    "a": {},\n    "b": "\\u003c\\u0026\\u003e"\n}\n'),
        (".[]", "[1.0, 12345678901234567890, 1e100, 1.5]", False, b"1\n12345678901234567000\n1e+100\n1.5\n"),
        ("keys_unsorted[]", '{"b": 1, "a": 2}', True, b"a\nb\n"),
    ],
)
def test_a_filter_prints_each_of_its_results(rig: Rig, text: str, given: str, raw: bool, printed: bytes) -> None:
    finished = rig.run(task(jq(text, given, raw=raw), params=(("P", "value"),)))

    assert finished.outcome == "succeeded", finished.error
    assert rig.log(finished, "stdout") == printed


@pytest.mark.parametrize(
    ("text", "given", "why"),
    [
        ('1, error("no good")', "1", "no good"),
        (".a[", "1", "syntax error"),
        (".", "{", "the input is not JSON"),
        (".", "", "the input is not JSON"),
        (".", "1 2", "the input is not JSON"),
        (".", "NaN", "the input is not JSON"),
    ],
)
def test_an_invalid_filter_or_input_is_exit_code_1(rig: Rig, text: str, given: str, why: str) -> None:
    finished = rig.run(task(jq(text, given)))

    assert (finished.outcome, finished.exit_code) == ("failed", 1)
    assert why in finished.error


def test_an_endless_filter_is_ended_by_its_limit_a_timeout_and_a_stop(rig: Rig) -> None:
    endless = jq("last(range(1e12))", "1")
    rig.give(task(endless, token="t"))
    rig.started("t")

    limited = rig.run(task(jq("last(range(1e12))", "1", timeout=1)))
    timed_out = rig.run(task(endless, timeout_s=0.4))
    rig.broadcast("worker.w1", StopAttempt(token="t"))

    assert (limited.outcome, limited.exit_code) == ("failed", -1)
    assert "jq exceeded a limit" in limited.error
    assert (timed_out.outcome, timed_out.exit_code) == ("timed_out", 124)
    assert rig.finished("t").outcome == "aborted"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_an_extracted_archive_equals_what_was_packed(rig: Rig, kind: str) -> None:
    tree(rig.work_dir() / "in")
    (rig.work_dir() / "in" / "link").symlink_to("a.txt")
    (rig.work_dir() / "in" / "empty").mkdir()

    made = done(rig, "create", source="in", destination=f"out/x.{kind}", verifyIntegrity=True)
    listed = done(rig, "list", source=f"out/x.{kind}", verifyIntegrity=True)
    taken = done(rig, "extract", source=f"out/x.{kind}", destination="back")

    names = ["in", "in/a.txt", "in/empty", "in/link", "in/sub", "in/sub/b.log", "in/sub/run.sh"]
    assert (made["filesAdded"], made["verifyPerformed"]) == (len(names), True)
    assert made["bytesArchived"] == sum((rig.work_dir() / name).lstat().st_size for name in names)
    assert [one["path"] for one in listed["files"]] == names
    assert [one["mode"][0] for one in listed["files"]] == ["d", "-", "d", "L", "d", "-", "-"]
    assert (listed["totalFiles"], listed["verified"]) == (len(names), True)
    assert (taken["filesExtracted"], taken["filesSkipped"]) == (4, 0)
    assert (rig.work_dir() / "back/in/sub/b.log").read_text() == "beta\n" * 100
    assert (rig.work_dir() / "back/in/sub/run.sh").stat().st_mode & 0o777 == 0o755
    assert (rig.work_dir() / "back/in/link").readlink() == Path("a.txt")
    assert (rig.work_dir() / "back/in/empty").is_dir()
    assert [path.name for path in (rig.work_dir() / "out").iterdir()] == [f"x.{kind}"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst", "lz4"])
def test_one_file_is_compressed_alone(rig: Rig, kind: str) -> None:
    (rig.work_dir() / "one.txt").write_text("one\n" * 1000)

    done(rig, "create", source="one.txt", destination=f"one.txt.{kind}", compressionLevel=3)
    listed = done(rig, "list", source=f"one.txt.{kind}")
    taken = done(rig, "extract", source=f"one.txt.{kind}", destination="back")

    assert [(one["path"], one["size"]) for one in listed["files"]] == [("one.txt", 4000)]
    assert taken["bytesExtracted"] == 4000
    assert (rig.work_dir() / "back/one.txt").read_text() == "one\n" * 1000


def test_patterns_stripping_and_flattening_select_members_and_their_places(rig: Rig) -> None:
    tree(rig.work_dir() / "in")
    done(rig, "create", source="in", destination="all.tar")

    done(rig, "create", source="in", destination="logs.tar", include="**/*.log")
    taken = done(rig, "extract", source="all.tar", destination="stripped", stripComponents=2, exclude=["in/*/*.sh"])
    done(rig, "extract", source="all.tar", destination="flat", preservePaths=False)
    dry = done(rig, "extract", source="all.tar", destination="dry", dryRun=True, verifyIntegrity=True)

    assert [one["path"] for one in done(rig, "list", source="logs.tar")["files"]] == ["in/sub/b.log"]
    assert {path.name for path in (rig.work_dir() / "stripped").iterdir()} == {"b.log"}
    assert (taken["filesExtracted"], taken["filesSkipped"]) == (1, 2)
    assert {path.name for path in (rig.work_dir() / "flat").iterdir() if path.is_file()} == {"a.txt", "b.log", "run.sh"}
    assert (dry["filesExtracted"], dry["verifyPerformed"]) == (3, True)
    assert not (rig.work_dir() / "dry").exists()


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("*.log", 0),
        ("**/*.log", 1),
        ("in/**", 5),
        ("in/*", 2),
        ("in/sub/{b.log,run.sh}", 2),
        ("in/[a-b].t?t", 1),
        ("in/s**", 3),
        ("**/[^b]*.sh", 1),
        ("in\\\\/a.txt", 0),
        ("in/{a.txt", 0),
        ("in/a[", 0),
    ],
)
def test_a_pattern_matches_whole_names(rig: Rig, pattern: str, chosen: int) -> None:
    tree(rig.work_dir() / "in")

    assert done(rig, "create", source="in", destination="x.zip", include=[pattern], dryRun=True)["filesAdded"] == chosen


def test_the_format_is_recognized_by_the_first_bytes(rig: Rig) -> None:
    tree(rig.work_dir() / "in")
    for kind in ("zip", "tar", "tar.gz", "tar.xz"):
        done(rig, "CREATE", source="in", destination=f"{kind}.bin", format=kind)
        assert done(rig, "List", source=f"{kind}.bin")["totalFiles"] == 5

    said = rig.run(task(archive("list", source="in/a.txt")))
    assert (said.exit_code, "unsupported archive format: a.txt" in said.error) == (5, True)


def test_extracting_keeps_what_exists_and_creating_replaces_it(rig: Rig) -> None:
    tree(rig.work_dir() / "in")
    (rig.work_dir() / "x.zip").write_text("old")
    done(rig, "create", source="in", destination="x.zip")
    (rig.work_dir() / "back/in").mkdir(parents=True)
    (rig.work_dir() / "back/in/a.txt").write_text("mine")

    refused = rig.run(task(archive("extract", source="x.zip", destination="back")))
    assert (refused.exit_code, (rig.work_dir() / "back/in/a.txt").read_text()) == (4, "mine")
    told = done(rig, "extract", source="x.zip", destination="back", continueOnError=True)
    assert (told["filesExtracted"], told["filesSkipped"], len(told["errors"])) == (2, 0, 1)
    done(rig, "extract", source="x.zip", destination="back", overwrite=True)
    assert (rig.work_dir() / "back/in/a.txt").read_text() == "alpha\n"


def hostile_tar(path: Path, *members: tuple[str, str]) -> None:
    """Write a tar with members of (name, target of a symlink). An empty target makes a file."""
    with tarfile.open(path, "w") as tar:
        for name, link in members:
            info = tarfile.TarInfo(name)
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)


@pytest.mark.parametrize(
    "members",
    [
        [("../out.txt", "")],
        [("/tmp/dagway-out.txt", "")],
        [("a/../../out.txt", "")],
        [("link", "../..")],
        [("link", "/tmp")],
        [("sub/link", "../../elsewhere"), ("sub/link/out.txt", "")],
    ],
)
def test_nothing_is_written_outside_the_destination(rig: Rig, members: list[tuple[str, str]]) -> None:
    hostile_tar(rig.work_dir() / "bad.tar", *members)

    finished = rig.run(task(archive("extract", source="bad.tar", destination="back")))

    assert (finished.outcome, finished.exit_code) == ("failed", 6)
    assert {path.name for path in rig.work_dir().iterdir()} <= {"bad.tar", "back"}
    assert not Path("/tmp/dagway-out.txt").exists()


@pytest.mark.parametrize(("name", "link"), [("../out.txt", ""), ("link", "/etc"), ("link", "../..")])
def test_nothing_of_a_zip_is_written_outside_the_destination(rig: Rig, name: str, link: str) -> None:
    with zipfile.ZipFile(rig.work_dir() / "bad.zip", "w") as made:
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if link else 0o100644) << 16
        made.writestr(info, link or "x")

    finished = rig.run(task(archive("extract", source="bad.zip", destination="back")))

    assert finished.exit_code == 6
    assert list((rig.work_dir() / "back").iterdir()) == []


@pytest.mark.parametrize(
    ("operation", "config", "code"),
    [
        ("compress", {"source": "in"}, 2),
        ("create", {"destination": "x.tar"}, 2),
        ("create", {"source": "in", "format": "zip"}, 2),
        ("extract", {"source": "nowhere.zip"}, 3),
        ("create", {"source": "in", "destination": "x.7z"}, 5),
        ("create", {"source": "in", "destination": "x.tar", "password": "p"}, 2),
        ("list", {"source": "in/a.txt", "format": "lz4"}, 12),
        ("list", {"source": "in/a.txt"}, 5),
        ("extract", {"source": "in/a.txt", "stripComponents": "x"}, 2),
        ("create", {"source": "in", "destination": "x.tar", "compressionLevel": "high"}, 2),
        ("create", {"source": "in", "destination": "x.gz"}, 7),
        ("list", {"source": "in/a.txt", "format": "zip"}, 12),
        ("extract", {"source": "in/a.txt", "format": "tar.gz"}, 12),
    ],
)
def test_each_kind_of_error_has_its_exit_code(rig: Rig, operation: str, config: dict[str, Any], code: int) -> None:
    tree(rig.work_dir() / "in")

    finished = rig.run(task(archive(operation, **config)))

    assert (finished.outcome, finished.exit_code) == ("failed", code), finished.error


def test_members_without_a_usable_time_are_listed_and_extracted(rig: Rig) -> None:
    with zipfile.ZipFile(rig.work_dir() / "old.zip", "w") as made:
        entry = zipfile.ZipInfo("a.txt")
        entry.date_time = (1980, 0, 0, 0, 0, 0)
        made.writestr(entry, "alpha")
    with tarfile.open(rig.work_dir() / "late.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("b.txt")
        member.mtime = 1e18
        tar.addfile(member)

    times = {name: done(rig, "list", source=name)["files"][0]["modTime"] for name in ("old.zip", "late.tar")}
    assert times == {"old.zip": "1979-11-30T00:00:00Z", "late.tar": "1970-01-01T00:00:00Z"}
    for name in times:
        assert done(rig, "extract", source=name, destination="out")["filesExtracted"] == 1
    assert (rig.work_dir() / "out/a.txt").read_text() == "alpha"


def test_jq_keeps_the_limit_of_cpu_time_of_all_steps(tmp_path: Path) -> None:
    with Rig(tmp_path, guardian=GuardianProcess({"cpu": 20})) as limited:
        for _ in range(3):
            finished = limited.run(task(jq(".a", '{"a": 1}')))
            assert (finished.outcome, limited.log(finished, "stdout")) == ("succeeded", b"1\n"), finished.error
