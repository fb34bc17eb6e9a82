"""``dagway exec``: the spec that it makes of the command line, and of the file that ``--base`` names."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.remote.executing import name_for
from services.cli.remote.gateway import Gateway

BASE = """\
description: of the base
env: {REGION: eu, STAGE: test}
workingDir: /base
maxActiveRuns: 3
steps: [echo never]
"""


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The specs that were sent. The command ends there."""
    found: list[dict[str, Any]] = []

    def post(_: Gateway, __: str, body: dict[str, Any]) -> Any:
        found.append(json.loads(body["spec"]))
        raise SystemExit(0)

    monkeypatch.setattr(Gateway, "post", post)
    return found


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3", "exec-python3"),
        ("./backup.sh", "exec-backup_sh"),
        ("g++", "exec-g__"),
        ("echo a b; exit 4", "exec-echo_a_b__exit_4"),
        ("/", "exec-_"),
        ("x" * 50, f"exec-{'x' * 35}"),
    ],
)
def test_a_run_without_a_name_has_the_one_that_dagu_gives_it(command: str, name: str) -> None:
    assert name_for(command) == name


def test_one_argument_is_a_line_for_the_shell_and_several_arrive_as_they_are(posted: list[dict[str, Any]]) -> None:
    for command in (["ls | wc -l"], ["echo", "a | b"]):
        CliRunner().invoke(cli, ["exec", "--", *command])

    assert [spec["steps"][0]["command"] for spec in posted] == ["ls | wc -l", "echo 'a | b'"]


def test_the_command_line_wins_over_the_file(tmp_path: Path, posted: list[dict[str, Any]]) -> None:
    (tmp_path / "base.yaml").write_text(BASE)

    options = ["--base", str(tmp_path / "base.yaml"), "--env", "STAGE=prod", "--workdir", "/here"]
    CliRunner().invoke(cli, ["exec", *options, "--", "make", "all"])

    assert posted == [
        {
            "description": "of the base",
            "env": [{"REGION": "eu"}, {"STAGE": "test"}, {"STAGE": "prod"}],
            "workingDir": "/here",
            "maxActiveRuns": 3,
            "steps": [{"name": "main", "command": "make all"}],
        }
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "must be one map of the fields"),
        ("tags: a\n---\ntags: b\n", "must be one map of the fields"),
        ("env: [\n", "line 2"),
        ("env: A=1\n", "env: must be a map or a list"),
        ("a: 1\n" * 300, 'duplicate key "a"'),
        (None, "No such file"),
    ],
    ids=["list", "two documents", "no YAML", "env is a text", "too many mistakes", "no file"],
)
def test_a_bad_file_is_named(tmp_path: Path, posted: list[dict[str, Any]], text: str | None, said: str) -> None:
    path = tmp_path / "base.yaml"
    if text is not None:
        path.write_text(text)

    result = CliRunner().invoke(cli, ["exec", "--base", str(path), "--env", "B=2", "--", "true"])

    assert (result.exit_code, posted) == (2, [])
    assert said in result.stderr
    assert "base.yaml" in result.stderr
