"""The commands that need no server: ``run``, ``dry``, ``test`` and ``validate``, on the real engine."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli import cli
from tests.harness.procs import DagwayProcess

MAIN = """
workerSelector: {gpu: "true"}
params:
  - WHO: world
steps:
  - name: where
    command: echo "${WHO} in $(basename "$(pwd)")"
  - name: child
    call: leaf
    params: X=5
    output: CHILD
  - name: fails
    command: echo bad >&2; exit 7
handlerOn:
  exit:
    command: echo bye
"""
LEAF = 'params: X=1\nsteps:\n  - name: leaf-step\n    command: echo "leaf $X"\n    output: LEAF\n'
ETL = """
params:
  - DAY: monday
mailOn: {failure: true}
secrets:
  - {name: TOKEN, provider: env, key: NOT_SET_ANYWHERE}
steps:
  - name: load
    command: touch TOUCHED
    retryPolicy: {limit: 2, intervalSec: 60}
    output: ROWS
  - name: check
    command: touch TOUCHED
    preconditions:
      - condition: "${DAY}"
        expected: monday
  - name: count
    command: echo "$((ROWS + 1)) rows"
    output: COUNT
    continueOn: {skipped: true}
handlerOn:
  failure:
    command: touch TOUCHED
"""
CASES = """
cases:
  - name: second try
    mock:
      load: [{exitCode: 1, stderr: away}, "41"]
    run: [count]
    expect:
      steps: {load: succeeded, check: succeeded}
      retries: {load: 1}
      outputs: {ROWS: "41", COUNT: 42 rows}
      stdout: {count: 42 rows}
  - name: tuesday
    params: {DAY: tuesday}
    expect: {steps: {check: skipped}}
  - name: condition by hand
    mock: {check: {met: false}}
    expect: {steps: {check: skipped}}
  - name: never loads
    mock: {load: {exitCode: 7}}
    expect: {status: failed, steps: {load: failed, check: aborted, onFailure: succeeded}, retries: {load: 2}}
"""
WRONG = """
dag: etl.yaml
cases:
  - name: expects too much
    mock: {load: {exitCode: 3}}
    expect: {steps: {check: succeeded}, outputs: {ROWS: "5"}}
  - name: unknown step
    mock: {laod: ""}
"""


def dagway(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, args, input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"main.yaml": MAIN, "leaf.yaml": LEAF, "etl.yaml": ETL, "etl.test.yaml": CASES}.items():
        (tmp_path / name).write_text(text.replace("TOUCHED", str(tmp_path / "touched")))
    return tmp_path


@pytest.fixture
def _own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for temporary files that no other test uses. Its path is short, since sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="own-") as place:
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setattr(tempfile, "tempdir", place)
        yield


def leftovers() -> set[str]:
    return {
        path.name
        for path in Path(tempfile.gettempdir()).glob("dagway-*")
        if re.match("dagway-(?:test-)?[a-z0-9_]{8}$", path.name)
    }


@pytest.mark.usefixtures("_own_temporary_folder")
def test_run_executes_a_file_with_those_it_calls_and_leaves_nothing(folder: Path) -> None:
    done = dagway("run", str(folder / "main.yaml"), "--", "WHO=Ada")

    assert done.exit_code == 1, done.output
    assert f"where | Ada in {folder.name}\n" in done.stdout
    assert '"LEAF": "leaf 5"' in done.stdout
    assert done.stdout.endswith("onExit | bye\n")
    assert "fails | bad\n" in done.stderr
    assert re.search(
        r'^✗ fails failed [\d.]+s: failed to execute step "fails": exit status 7', done.stderr, re.MULTILINE
    )
    assert re.search(r"^main  run \S+  failed  began .* took [\d.]+s$", done.stderr, re.MULTILINE)
    assert leftovers() == set()
    assert sorted(path.name for path in folder.iterdir()) == ["etl.test.yaml", "etl.yaml", "leaf.yaml", "main.yaml"]


def test_run_prints_json_and_all_of_a_long_output(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("steps:\n  - name: long\n    command: seq 1 20000\n")

    told = dagway("run", "--json", str(tmp_path / "long.yaml"))
    printed = dagway("run", str(tmp_path / "long.yaml"))

    assert [node["exitCode"] for node in json.loads(told.stdout)["nodes"]] == [0]
    assert printed.stdout == "".join(f"long | {number}\n" for number in range(1, 20001))
    assert printed.exit_code == 0


def test_ctrl_c_stops_the_steps_and_runs_the_handlers(tmp_path: Path) -> None:
    (tmp_path / "nap.yaml").write_text(
        "steps:\n  - name: nap\n    command: echo begun; echo $$ > pid; sleep 300\n"
        "handlerOn:\n  abort:\n    command: echo cleaned\n"
    )

    with DagwayProcess("run", str(tmp_path / "nap.yaml"), folder=tmp_path / "home") as process:
        process.wait_ready(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
        process.wait_output("nap | begun")
        process._started.send_signal(signal.SIGINT)
        assert process.wait_exit() == 130
        assert "onCancel | cleaned" in process.output()

    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_watch_runs_again_after_a_change(tmp_path: Path) -> None:
    file = tmp_path / "changes.yaml"
    file.write_text("steps:\n  - name: say\n    command: echo first\n")

    with DagwayProcess("run", "--watch", str(file), folder=tmp_path / "home") as process:
        process.wait_output("waiting for a change")
        file.write_text("steps:\n  - name: say\n    command: echo second one\n")
        process.wait_output("say | second one")
        process._started.send_signal(signal.SIGINT)
        assert process.wait_exit() == 130


def test_on_a_terminal_the_steps_are_drawn_with_their_times(tmp_path: Path) -> None:
    (tmp_path / "drawn.yaml").write_text("steps:\n  - name: draw\n    command: printf '10%%\\r100%%\\nseen'\n")
    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "dagway", "run", str(tmp_path / "drawn.yaml")]
    with subprocess.Popen(program, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # Linux says so when the other side is closed
            pass
        assert process.wait() == 0, shown
    os.close(ours)

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "draw | 100%\r\n" in plain, "as dagway logs shows a progress bar"
    assert "draw | seen" in plain
    assert re.search(r"✓ draw  succeeded +[\d.]+s", plain)
    assert b"\x1b[32m" in shown, "colours"


def test_dry_says_when_each_handler_runs(tmp_path: Path) -> None:
    (tmp_path / "handled.yaml").write_text(
        "steps: [{name: a, command: echo a}]\n"
        "handlerOn: {exit: {command: echo e}, init: {command: echo i}, wait: {command: echo w}}\n"
    )

    plan = dagway("dry", str(tmp_path / "handled.yaml"))

    rows = [line.split()[:2] for line in plan.stdout.splitlines()[2:]]
    assert (rows[0], rows[1], sorted(rows[2:])) == (
        ["begin", "onInit"],
        ["1", "a"],
        [["end", "onExit"], ["wait", "onWait"]],
    )


def test_dry_shows_the_stages_and_runs_nothing(folder: Path) -> None:
    plan = dagway("dry", str(folder / "etl.yaml"), "--", "DAY=sunday")

    assert plan.exit_code == 0, plan.output
    assert plan.stdout.splitlines()[:2] == ["etl", "  params: DAY=sunday"]
    rows = [re.split(r"  +", line.strip()) for line in plan.stdout.splitlines()[3:]]
    assert [row[:3] for row in rows] == [
        ["1", "load", "-"],
        ["2", "check", "load"],
        ["3", "count", "check"],
        ["end", "onFailure", "-"],
    ]
    assert rows[0][4] == "up to 2 retries; output ROWS"
    assert plan.stdout == dagway("run", "--dry", str(folder / "etl.yaml"), "--", "DAY=sunday").stdout
    in_json = json.loads(dagway("run", "--dry", "--json", str(folder / "etl.yaml"), "--", "DAY=sunday").stdout)
    assert in_json["params"] == {"DAY": "sunday"}
    assert [[step["stage"], step["name"]] for step in in_json["dags"][0]["steps"]] == [row[:2] for row in rows]
    assert not (folder / "touched").exists()


def test_cases_run_on_the_engine_without_the_commands(folder: Path) -> None:
    done = dagway("test", str(folder))

    assert done.exit_code == 0, done.output
    assert [line.split(":")[1].split(" (")[0].strip() for line in done.stdout.splitlines()[:-1]] == [
        "second try",
        "tuesday",
        "condition by hand",
        "never loads",
    ]
    assert done.stdout.endswith("4 cases, 0 failed\n")
    assert not (folder / "touched").exists(), "a command ran"


def test_a_case_that_does_not_exist_is_named(folder: Path) -> None:
    done = dagway("test", str(folder), "--case", "no such case")

    assert (done.exit_code, done.stdout) == (1, "0 cases, 0 failed\n")
    assert done.stderr == "dagway: there is no case with the name 'no such case'\n"


def test_a_case_that_fails_says_how_and_ci_systems_read_it(folder: Path) -> None:
    (folder / "wrong.test.yaml").write_text(WRONG)

    done = dagway("test", str(folder / "wrong.test.yaml"), "--junit", str(folder / "reports" / "junit.xml"), "--json")

    assert done.exit_code == 1
    first, second = json.loads(done.stdout)["results"]
    assert first["failures"][0].startswith("status: expected succeeded, was failed (")
    assert first["failures"][1:] == [
        "step check: expected succeeded, was aborted",
        "output ROWS: expected '5', was ''",
    ]
    assert second["failures"] == ["there is no step 'laod'; the steps: load, check, count, onFailure"]
    suite = ET.parse(folder / "reports" / "junit.xml").getroot()[0]  # noqa: S314 - written above
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert [case.get("name") for case in suite] == ["expects too much", "unknown step"]
    (failure,) = suite[1]
    assert failure.get("message") == second["failures"][0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cases: []", "cases: must be a list with at least one case"),
        ("cases:\n  - nam: x\n", "line 2: cases[0]: unknown field 'nam' (did you mean \"name\"?)"),
        ("cases: [{mock: {a: {exitCode: x}}}]", "cases[0].mock.a.exitCode: must be a whole number"),
        ("cases: [{met: 1}]", "cases[0].met: must be true or false"),
        ("cases: [{expect: {steps: [a]}}]", "cases[0].expect.steps: must be a map"),
        ("{", "line 2, column 1: invalid YAML"),
    ],
)
def test_a_mistake_in_a_file_with_cases_is_said_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.test.yaml").write_text(text)

    refused = dagway("test", str(tmp_path))
    by_workflow = dagway("test", str(tmp_path / "a.yaml"))

    assert refused.exit_code == 1
    assert problem in refused.stderr
    assert by_workflow.output == refused.output


def test_a_workflow_without_cases_is_told_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("steps: [echo]\n")

    refused = dagway("test", str(tmp_path / "b.yaml"))

    assert refused.exit_code == 2
    assert f"b.yaml has no test cases: write them in {tmp_path / 'b.test.yaml'}" in refused.stderr


@pytest.mark.parametrize("name", ["leaf", "leaf.yaml"])
def test_dry_and_validate_find_a_dag_of_the_local_folder_by_its_name(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert dagway("dry", "leaf.yaml").exit_code == 2
    monkeypatch.setenv("DAGU_DAGS_DIR", str(folder))

    assert dagway("validate", name).stdout == f"{folder}/leaf.yaml: valid (1 dag, 1 step)\n"
    assert dagway("dry", name, "--", "X=2").stdout == dagway("dry", str(folder / "leaf.yaml"), "--", "X=2").stdout


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ("{schema: none.json, values: {a: 1}}", "failed to get JSON schema: none.json"),
        ("{schema: bad.json, values: {a: 1}}", "failed to get JSON schema: bad.json"),
        ("{schema: {properties: {a: {type: integer}}}, values: {a: x}}", "a: 'x' is not of type 'integer'"),
        ("{schema: {type: whole}}", "line 1, column 10: params.schema: not a valid JSON Schema: type: 'whole'"),
        ("{schema: fits.json, values: {a: 1, z: 1}}", "additional properties are not allowed: 'z'"),
        ("{schema: fits.json, values: {a: 1}}", ""),
        ("{schema: fits.json, values: {a: '${HOME}'}}", ""),
        ("{schema: '${SCHEMAS}/none.json', values: {a: x}}", ""),
        ("{schema: 'http://127.0.0.1:9/none.json', values: {a: x}}", ""),
    ],
)
def test_dry_and_validate_check_params_by_their_schema(tmp_path: Path, params: str, problem: str) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "fits.json").write_text(
        '{"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}'
    )
    file = tmp_path / "a.yaml"
    file.write_text(f"params: {params}\nsteps: ['true']\n")

    for command in ("validate", "dry"):
        done = dagway(command, str(file))
        assert (done.exit_code, problem in done.stderr) == (1 if problem else 0, True), done.output
        assert len(done.stderr.splitlines()) == bool(problem), "one line for one mistake"
    file.write_text("params: {schema: fits.json}\nsteps: ['true']\n")
    assert dagway("validate", str(file)).exit_code == 0, "a request may give it"
    assert dagway("dry", str(file), "--", "a=1").exit_code == 0
    assert "'a' is a required property" in dagway("dry", str(file)).stderr


def test_validate_warns_of_what_this_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fine.yaml").write_text("steps:\n  - type: gha\n    command: actions/checkout@v4\n")
    monkeypatch.setenv("PATH", str(tmp_path))

    found = dagway("validate", str(tmp_path))

    assert found.exit_code == 0
    assert "fine.yaml: valid (1 dag, 1 step)" in found.stdout
    assert 'fine.yaml: warning: step "gha_1": type: no worker on this machine can run gha steps' in found.stderr
    assert dagway("validate", "--elsewhere", str(tmp_path)).stderr == ""


def test_validate_takes_files_folders_and_standard_input(folder: Path) -> None:
    (folder / "wrong.yml").write_text("steps:\n  - name: b\n    comand: x\n")

    found = dagway("validate", str(folder), "-", stdin="steps: ['true']\n")

    assert found.exit_code == 1
    assert [line.partition(": ")[0] for line in found.stdout.splitlines()] == [
        *(str(folder / name) for name in ("etl.yaml", "leaf.yaml", "main.yaml")),
        "-",
    ]
    assert found.stderr.splitlines()[1] == (
        f'{folder}/wrong.yml: line 3, column 5: steps[0]: has invalid keys: comand (did you mean "command"?)'
    )
    assert dagway("validate", "-q", str(folder / "leaf.yaml")).output == ""
    assert dagway("validate", str(folder / "missing.yaml")).exit_code == 1
    (folder / "empty").mkdir()
    assert dagway("validate", str(folder / "empty")).exit_code == 1
    report = json.loads(dagway("validate", "--json", str(folder / "leaf.yaml")).stdout)
    assert report == {"files": [{"file": str(folder / "leaf.yaml"), "valid": True, "problems": [], "steps": 1}]}
