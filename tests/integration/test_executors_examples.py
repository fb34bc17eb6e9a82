"""Every example of an executor runs, against servers of the tests, and so does the plugin in docs/executors.md."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import cli
from services.worker.executors import executor_for
from shared.language.load import load
from shared.language.steps import executor_types
from tests.harness.counterparts import HttpCounterpart, MailCounterpart, SshCounterpart, fake_act
from tests.harness.engines import IMAGE, DockerEngine
from tests.harness.needs import need
from tests.harness.worker_rig import Rig, task

ROOT = Path(__file__).parents[2]
BLOCKS = ("smtp", "ssh", "llm", "container", "registry_auths")


def printed(rig: Rig, name: str, *, env: tuple[tuple[str, str], ...] = (), **params: object) -> dict[str, str]:
    """Run the steps of an example one after the other; return the output of each."""
    loaded = load((ROOT / "examples" / "executors" / f"{name}.yaml").read_text(), file_name=name)
    assert loaded.errors == []
    assert loaded.dag is not None
    given = {param.name: param.value for param in loaded.dag.params} | {
        key: str(value) for key, value in params.items()
    }
    options = {block: value for block in BLOCKS if (value := getattr(loaded.dag, block)) is not None}
    outputs: dict[str, str] = {}
    logs: dict[str, str] = {}
    for step in loaded.dag.steps:
        finished = rig.run(
            task(step, params=tuple(given.items()), outputs=tuple(outputs.items()), options=options, env=env)
        )
        assert finished.outcome == "succeeded", f"{step.name}: {finished.error}"
        outputs |= finished.outputs
        logs[step.name] = rig.log(finished, "stdout").decode()
    return logs


ALIASES = {"shell": "", "command": "", "container": "docker", "subworkflow": "dag"}
ALIASES |= dict.fromkeys(("github_action", "github-action"), "gha")


def test_there_is_an_example_of_each_kind_and_each_is_run_here() -> None:
    """``tests/acceptance/test_examples`` runs the other examples, such as calls and approvals."""
    texts = {path: path.read_text() for path in (ROOT / "examples").rglob("*.yaml")}
    shown = {
        step.type
        for path, text in texts.items()
        for dag in load(text, file_name=path.stem).documents
        for step in dag.steps
    }
    run = set(re.findall(r'printed\(rig, "(\w+)"', Path(__file__).read_text()))

    assert {ALIASES.get(kind, kind) for kind in executor_types.known_types()} <= shown
    assert {path.stem for path in texts if path.parent.name == "executors"} == run


def test_the_page_begins_with_all_types() -> None:
    beginning = (ROOT / "docs" / "executors.md").read_text().partition("\n## ")[0]
    named = set(re.findall(r"`([\w-]+)`", beginning))

    assert {*executor_types.known_types()} - {*executor_types.GHA_TYPES[1:], *executor_types.SUB_DAG_TYPES} <= named


def test_the_example_of_command_steps(rig: Rig) -> None:
    assert printed(rig, "command") == {"shell": "ONE LINE\n", "python": "One Line\n", "in-a-row": "done\n"}


def test_the_example_of_http_steps(rig: Rig) -> None:
    with HttpCounterpart() as server:
        assert printed(rig, "http", URL=server.url, TOKEN="t")["show"] == "status 200\n"
    assert server.requests[0]["body"] == '{"hello": "t"}'


def test_the_example_of_jq_steps(rig: Rig) -> None:
    assert printed(rig, "jq") == {"pick": "world\n"}


def test_the_example_of_archive_steps(rig: Rig) -> None:
    assert printed(rig, "archive")["compare"] == "2 entries\n"


def test_the_example_of_mail_steps(rig: Rig) -> None:
    with MailCounterpart(None) as server:
        printed(rig, "mail", SMTP_PORT=server.port)
        recipients, message = server.mails.get(timeout=60)
    assert (recipients, message["Subject"]) == (["one@example.org", "two@example.org"], "Report of r1")


def test_the_example_of_ssh_steps(rig: Rig, tmp_path: Path) -> None:
    need("sshd")
    (tmp_path / "ssh").mkdir()
    with SshCounterpart(tmp_path / "ssh") as host:
        logs = printed(rig, "ssh", PORT=host.port, LOGIN=host.user, KEY=host.key, HOSTS=host.known_hosts)
    assert logs == {"plain": "hello from 127.0.0.1\n", "with-a-shell": "line 2\n"}


def test_the_example_of_container_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("dockerd")
    with tempfile.TemporaryDirectory(prefix="dwd") as folder, DockerEngine(Path(folder)) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        with Rig(tmp_path / "worker") as rig:
            logs = printed(rig, "docker", IMAGE=IMAGE)
        assert engine.names() == []
    assert logs == {"once": "GREETING=hello\n", "several": "/tmp/made\n"}


def test_the_example_of_chat_steps(rig: Rig) -> None:
    with HttpCounterpart() as server:
        assert printed(rig, "chat", BASE=f"{server.url}/v1")["show"] == "it said the answer\n"


def test_the_example_of_gha_steps_with_a_stand_in_for_act(rig: Rig, tmp_path: Path) -> None:
    path = fake_act(tmp_path, 'printf "%s\\n" "$@"; cat "$7"')
    said = printed(rig, "gha", env=(("PATH", path),), WHO="you")["greet"]

    words = said[: said.index("{")].split("\n")
    assert words[:4] == ["push", "--pull=false", "--platform", "ubuntu-latest=node:24-bookworm"]
    assert "--secret" not in words, "there is none, and act would ask for it"
    (step,) = json.loads(said[said.index("{") :])["jobs"]["step"]["steps"]
    assert step == {"uses": "actions/hello-world-javascript-action@v1.1", "with": {"who-to-greet": "you"}}
    assert [path.name for path in rig.work_dir().iterdir()] == []


def test_the_example_of_annotations(rig: Rig) -> None:
    assert printed(rig, "notices")["tell"] == "7 rows\n"


@pytest.fixture
def greeting(tmp_path: Path) -> Iterator[None]:
    """Install the plugin of docs/executors.md, with the files that an installer would write."""
    blocks = dict(re.findall(r"```(python|toml)\n(.*?)```", (ROOT / "docs" / "executors.md").read_text(), re.DOTALL))
    (tmp_path / "greeting.py").write_text(blocks["python"])
    info = tmp_path / "dagway_greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dagway-greeting\nVersion: 1.0\n")
    ((point, target),) = re.findall(r'^(\w+) = "(\w+:\w+)"', blocks["toml"], re.MULTILINE)
    (info / "entry_points.txt").write_text(f"[dagway.executors]\n{point} = {target}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        executor_types.plugin_types.cache_clear()
        yield
    executor_types.plugin_types.cache_clear()
    executor_for.cache_clear()


def test_an_executor_from_another_package(rig: Rig, greeting: None) -> None:
    assert printed(rig, "plugin", WHO="you") == {"greet": "Hello, you!\nHello, you!\n"}


def test_an_executor_that_is_not_installed_is_an_error_when_loaded_and_when_run(rig: Rig) -> None:
    text = (ROOT / "examples" / "executors" / "plugin.yaml").read_text()
    loaded = load(text, file_name="plugin")

    assert ['executor type "greeting" is not registered' in str(error) for error in loaded.errors] == [True]
    assert loaded.dag is not None
    finished = rig.run(task(loaded.dag.steps[0]))
    assert (finished.outcome, finished.error) == ("broken", 'executor type "greeting" is not registered')


def test_actions_need_the_program_act(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("steps:\n  - {name: s, type: gha, command: actions/checkout@v4}\n")
    assert loaded.dag is not None
    finished = rig.run(task(loaded.dag.steps[0], env=(("PATH", "/nowhere"),)))

    assert finished.outcome == "broken"
    assert "gha steps need the program act on the worker" in finished.error


def test_validation_checks_whether_this_machine_can_run_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(ROOT / "examples" / "executors" / "gha.yaml")

    warned = CliRunner().invoke(cli, ["validate", file])
    elsewhere = CliRunner().invoke(cli, ["validate", "--elsewhere", file])
    monkeypatch.setenv("PATH", fake_act(tmp_path, "true"))
    here = CliRunner().invoke(cli, ["validate", file])

    assert (warned.exit_code, elsewhere.exit_code, here.exit_code) == (0, 0, 0)
    missing = 'step "greet": type: no worker on this machine can run gha steps'
    assert missing in warned.output
    assert missing not in elsewhere.output + here.output
