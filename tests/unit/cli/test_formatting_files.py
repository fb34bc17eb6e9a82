"""``dagway fmt``: files, folders and standard input; what it prints, and its exit code."""

import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from services.cli import cli

MESSY = "steps:\n- echo a\n\n\n# end\n"
TIDY = "steps:\n  - echo a\n\n# end\n"


def fmt(*args: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["fmt", *map(str, args)], input=given)


def test_files_of_a_folder_are_formatted_in_place_once(tmp_path: Path) -> None:
    messy, tidy = tmp_path / "messy.yaml", tmp_path / "tidy.yml"
    messy.write_text(MESSY)
    messy.chmod(0o640)
    tidy.write_text(TIDY)

    first, second = fmt(tmp_path), fmt(tmp_path)

    assert (first.exit_code, first.stderr) == (0, f"{messy}: formatted\n")
    assert (messy.read_text(), messy.stat().st_mode & 0o777) == (TIDY, 0o640)
    assert (second.exit_code, second.output) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["messy.yaml", "tidy.yml"]


def test_check_and_diff_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(MESSY)

    check, diff, both = fmt("--check", file), fmt("--diff", file), fmt("--check", "--diff", file)

    assert (check.exit_code, check.stdout, check.stderr) == (1, "", f"{file}: is not formatted\n")
    assert (diff.exit_code, both.exit_code) == (0, 1)
    assert {"-- echo a", "+  - echo a"} <= set(diff.stdout.splitlines())
    assert file.read_text() == MESSY


def test_standard_input_is_formatted_to_standard_output() -> None:
    result = fmt("-", given=MESSY)

    assert (result.exit_code, result.stdout, result.stderr) == (0, TIDY, "")
    assert fmt("-", "--check", given=MESSY).exit_code == 1
    assert fmt("-", "--check", given=TIDY).exit_code == 0


def test_a_faulty_file_stays_as_it_is_and_the_others_are_formatted(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    bad.write_text("a: 1\na: 2\n")
    good.write_text(MESSY)

    result = fmt(bad, tmp_path / "none.yaml", good)

    assert result.exit_code == 1
    assert f'{bad}: line 2, column 1: duplicate key "a"' in result.stderr
    assert "none.yaml: cannot read or write the file: No such file" in result.stderr
    assert (bad.read_text(), good.read_text()) == ("a: 1\na: 2\n", TIDY)


def test_line_ends_of_windows_and_a_byte_order_mark_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MESSY.replace("\n", "\r\n").encode())

    assert (fmt(file).exit_code, fmt("--check", file).exit_code) == (0, 0)

    assert file.read_bytes() == b"\xef\xbb\xbf" + TIDY.replace("\n", "\r\n").encode()


def test_a_pipe_is_not_read_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)

    result = fmt(pipe)

    assert (result.exit_code, result.stderr) == (1, f"{pipe}: not a regular file (for standard input: -)\n")
    assert pipe.is_fifo()


def test_a_link_stays_and_its_file_is_formatted(tmp_path: Path) -> None:
    file, link, lost = tmp_path / "file", tmp_path / "link.yaml", tmp_path / "lost.yaml"
    file.write_text(MESSY)
    link.symlink_to("file")
    lost.symlink_to("nowhere")

    result = fmt(link, lost)

    assert (result.exit_code, file.read_text(), link.is_symlink(), lost.is_symlink()) == (1, TIDY, True, True)
    assert result.stderr.splitlines() == [
        f"{link}: formatted",
        f"{lost}: cannot read or write the file: No such file or directory",
    ]


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(MESSY)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write any file

    result = fmt(file)

    assert (result.exit_code, result.stderr) == (1, f"{file}: cannot read or write the file: Permission denied\n")
    assert (file.read_text(), [each.name for each in tmp_path.iterdir()]) == (MESSY, ["a.yaml"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_stays_theirs(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(MESSY)
    os.chown(file, 4711, 4712)

    assert fmt(file).exit_code == 0

    assert (file.read_text(), file.stat().st_uid, file.stat().st_gid) == (TIDY, 4711, 4712)


def test_the_hooks_for_pre_commit_are_commands_of_the_command_line() -> None:
    hooks = yaml.safe_load((Path(__file__).parents[3] / ".pre-commit-hooks.yaml").read_text())

    assert [hook["id"] for hook in hooks] == ["dagway-validate", "dagway-test", "dagway-fmt"]
    for hook in hooks:
        program, command, *options = hook["entry"].split()
        page = CliRunner().invoke(cli, [command, "--help"])
        assert (program, page.exit_code) == ("dagway", 0)
        assert all(option in page.stdout for option in options)
