"""The files that ``dagway run`` and ``dagway test`` read, and how a case changes them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.cli.errors import WorkflowInvalid
from services.cli.local.bundle import read_bundle, with_working_dir
from services.cli.local.cases import Case, Mock
from services.cli.local.mocking import mocked_spec
from services.cli.output.junit import CaseResult, junit_xml
from services.cli.output.plan_page import stages_of
from shared.language.load import load


def test_called_files_of_the_folder_become_documents(tmp_path: Path) -> None:
    calls = "".join(f"  - call: {name}\n" for name in ("one", "two.yml", "inside", "elsewhere"))
    (tmp_path / "top.yaml").write_text(f"steps:\n{calls}---\nname: inside\nsteps: ['true']\n")
    (tmp_path / "one.yaml").write_text("steps:\n  - call: one\n  - call: two\n")
    (tmp_path / "two.yml").write_text("name: two\nsteps: ['true']\n")

    bundle = read_bundle(tmp_path / "top.yaml")

    assert [dag.name for dag in bundle.dags] == ["top", "inside", "one", "two"]
    assert [path.name for path in bundle.files] == ["top.yaml", "one.yaml", "two.yml"]
    loaded = load(bundle.spec, file_name="top")
    assert (loaded.ok, [dag.name for dag in loaded.documents]) == (True, ["top", "inside", "one", "two"])


def test_errors_of_all_kinds_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "top.yaml").write_text("steps:\n  - call: bad\n")
    (tmp_path / "bad.yaml").write_text("steps:\n  - name: x\n    comand: y\n")

    with pytest.raises(WorkflowInvalid, match=r"bad.yaml: line 3, column 5: steps\[0\]: has invalid keys: comand"):
        read_bundle(tmp_path / "top.yaml")
    with pytest.raises(WorkflowInvalid, match=r"missing.yaml: cannot read the file: No such file"):
        read_bundle(tmp_path / "missing.yaml")


def test_this_machine_has_the_labels_that_steps_need_unless_they_contradict(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    below = "steps: [{call: b}]\n---\nname: b\nworkerSelector: {zone: eu}\nsteps: ['true']\n"
    file.write_text(f"workerSelector: {{gpu: 'true'}}\n{below}")
    assert read_bundle(file).labels == {"gpu": "true", "zone": "eu"}

    file.write_text(f"workerSelector: {{zone: us}}\n{below}")
    with pytest.raises(WorkflowInvalid, match="zone=us and with zone=eu"):
        _ = read_bundle(file).labels


def test_no_text_of_a_workflow_acts_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text('description: "\\e]52;c;eA==\\a"\nsteps: ["true"]\n')
    (tmp_path / "bad.yaml").write_text('maxActiveRuns: "\\e]52;c;eA==\\a"\nsteps: ["true"]\n')

    for command in (["dry", "good.yaml"], ["run", "--dry", "good.yaml"], ["validate", "bad.yaml"], ["run", "bad.yaml"]):
        *options, file = command
        shown = CliRunner().invoke(cli, [*options, str(tmp_path / file)], color=True)
        assert r"\x1b]52;c;eA==\x07" in shown.output, command
        assert "\x1b" not in shown.output, command


def test_a_working_directory_of_the_base_configuration_wins() -> None:
    assert with_working_dir("", Path("/x y")) == 'workingDir: "/x y"\n'
    assert with_working_dir("workingDir: /own\n", Path("/x")) == "workingDir: /own\n"
    assert load("steps: [a]", base=with_working_dir("env: [A: 1]\n", Path("/x"))).documents[0].working_dir == "/x"


HOSTILE = """
container: {image: alpine}
ssh: {host: h}
mailOn: {success: true}
preconditions: ["rm -rf /"]
delaySec: 010
steps:
  - echo first
  - [{command: second}, {name: third, executor: {type: http, config: {url: "http://x"}}, stdout: /tmp/f}]
  - name: fourth
    call: other
    parallel: [1, 2]
    retryPolicy: {limit: 010, intervalSec: 1_000}
    preconditions:
      - condition: "`rm -rf /`"
        expected: x
      - condition: ${A}
        expected: x
handlerOn: {exit: rm}
"""


def test_nothing_of_a_step_runs_but_its_mock(tmp_path: Path) -> None:
    dag = load(HOSTILE, file_name="x").documents[0]
    case = Case("c", mocks={"third": (Mock("out", "err", 3), Mock())}, met={"": False}, env={"A": "b"})

    mocked = load(mocked_spec(HOSTILE, dag, case, tmp_path), file_name="x").documents[0]

    assert [step.name for step in mocked.steps] == [step.name for step in dag.steps]
    assert [step.depends for step in mocked.steps] == [step.depends for step in dag.steps]
    for step in (*mocked.steps, *mocked.handlers.values()):
        assert [each.text.split()[:2] for each in step.commands] == [["/bin/sh", str(tmp_path / "mock.sh")]]
        assert (step.call, step.parallel, step.config, step.container, step.stdout) == ("", None, {}, None, "")
    assert (mocked.container, mocked.ssh, mocked.mail_on.success, mocked.delay_sec) == (None, None, False, 0)
    assert [(each.condition, each.expected) for each in mocked.preconditions] == [("yes", "no")]
    assert [each.condition for each in mocked.steps[3].preconditions] == ["${A}"]
    policy = mocked.steps[3].retry_policy
    assert policy is not None
    assert (policy.limit, policy.interval_sec) == (8, 0), "010 is octal, as in Dagu"
    assert ("A", "b") in mocked.env


def test_stages_follow_the_longest_way() -> None:
    spec = "type: graph\nsteps:\n  - {name: a, command: x}\n  - {name: b, id: bee, command: x, depends: a}\n"
    spec += "  - {name: c, command: x, depends: [a, bee]}\n  - {name: d, command: x}\n"

    assert stages_of(load(spec, file_name="x").documents[0]) == {"a": 1, "d": 1, "b": 2, "c": 3}


def test_junit_escapes_what_xml_cannot_hold() -> None:
    text = junit_xml([CaseResult("a.yaml", 'x "<&>\x01', 0.5, ("was <b>",))])

    assert 'name="x &quot;&lt;&amp;&gt;\N{REPLACEMENT CHARACTER}"' in text
    assert '<failure message="was &lt;b&gt;">' in text


def test_what_is_not_there_is_not_said_to_lack_test_cases(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("steps: [echo]\n")

    there, absent = (CliRunner().invoke(cli, ["test", str(tmp_path / name)]) for name in ("there.yaml", "absent.yaml"))

    assert (there.exit_code, absent.exit_code) == (2, 2)
    assert "write them in" in there.stderr
    assert f"there is no file {tmp_path}/absent.yaml" in absent.stderr


def test_a_folder_without_test_cases_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["test", str(tmp_path)])

    assert (done.exit_code, done.stdout) == (1, "0 cases, 0 failed\n")
    assert done.stderr == f"dagway: there is no file *.test.yaml below {tmp_path}\n"
