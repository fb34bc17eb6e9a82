"""The base configuration in the commands that need no server: as in a run on one."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli import cli

BASE = """
env:
  - FROM_BASE: hello
params:
  - FIRST: one
secrets:
  - {name: TOKEN, provider: env, key: NOT_SET_ANYWHERE}
preconditions:
  - condition: touch TOUCHED
handlerOn:
  exit:
    command: touch TOUCHED
"""
WORKFLOW = """
params:
  - SECOND: two
steps:
  - name: say
    command: echo "$FROM_BASE $FIRST $SECOND $TOKEN"
    output: SAID
  - name: called
    call: leaf
    output: CALLED
"""
LEAF = 'steps:\n  - name: leaf-step\n    command: echo "$FROM_BASE"\n    output: LEAF\n'
CASES = """
cases:
  - name: variables and handlers of the base configuration
    run: [say]
    expect:
      outputs: {SAID: hello one two mocked}
      steps: {onExit: succeeded}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"base.yaml": BASE, "main.yaml": WORKFLOW, "main.test.yaml": CASES, "leaf.yaml": LEAF}
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace("TOUCHED", str(tmp_path / "touched")))
    return tmp_path


def dagway(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def test_cases_have_the_base_configuration_without_its_commands(folder: Path) -> None:
    done = dagway("test", "--base-config", str(folder / "base.yaml"), str(folder))

    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 case, 0 failed"), done.output
    assert not (folder / "touched").exists(), "a command of the base configuration ran"


def test_the_plan_of_a_file_shows_what_the_base_configuration_adds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, base = str(folder / "main.yaml"), str(folder / "base.yaml")

    plan = dagway("dry", "--base-config", base, file).stdout

    assert "params: FIRST=one SECOND=two\n" in plan
    assert plan.count("onExit") == 1
    assert dagway("run", "--dry", "--base-config", base, file).stdout == plan
    assert "onExit" not in dagway("dry", file).stdout
    monkeypatch.setenv("DAGWAY_BASE_CONFIG", base)
    assert dagway("dry", file).stdout == plan
