"""Secrets from another package, and secrets that a step prints in pieces."""

import base64
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.worker.inputs.sealing import Sealer
from services.worker.inputs.secret_values import SecretResolver
from shared.contracts.control import StopAttempt
from shared.contracts.signing_keys import SharedKey
from shared.language import connections
from shared.language.load import load
from shared.language.model import Condition, Dag, LogOutput, Output, RetryPolicy, Secret
from tests.harness.worker_rig import Rig, command, task

DOCS = Path(__file__).parents[2] / "docs" / "secrets.md"
SPEC = "secrets: [{name: TOKEN, provider: aws, key: prod/token, options: {region: eu}}]\nsteps: [echo $TOKEN]\n"
BOTO3 = """
class NotFound(Exception): pass
class client:
    exceptions = type("Exceptions", (), {"ResourceNotFoundException": NotFound})
    def __init__(self, name, region_name): self.name, self.region = name, region_name
    def get_secret_value(self, SecretId, VersionStage):
        if SecretId != "prod/token": raise NotFound
        if self.region is None: raise ValueError("You must specify a region.")
        return {"SecretString": f"{self.region}-{VersionStage}-token"}
"""
VALUE = "hunter2-and-more"


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the provider of the documentation, with the files that an installer would write.

    ``boto3`` is a stand-in with the calls that it makes.
    """
    (tmp_path / "boto3.py").write_text(BOTO3)
    text = DOCS.read_text()
    ((point, module, name),) = re.findall(r'^(\w+) = "(\w+):(\w+)"', text, re.MULTILINE)
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    assert f"def {name}(" in code[1]
    (tmp_path / f"{module}.py").write_text(code[1])
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dagway-aws\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{connections.SECRET_PLUGINS}]\n{point} = {module}:{name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    connections._installed_providers.cache_clear()
    yield
    for name in (module, "boto3"):
        sys.modules.pop(name, None)
    connections._installed_providers.cache_clear()


def test_a_provider_from_another_package(rig: Rig, aws: None) -> None:
    loaded = load(SPEC, file_name="x")
    assert loaded.issues == ()
    assert loaded.dag is not None
    step = loaded.dag.steps[0].model_copy(
        update={"commands": command("echo $TOKEN; test $TOKEN = eu-AWSCURRENT-token && echo it is").commands}
    )
    finished = rig.run(task(step, secrets=loaded.dag.secrets))

    assert rig.log(finished, "stdout") == b"*******\nit is\n"


def test_a_provider_whose_package_is_missing(rig: Rig) -> None:
    loaded = load(SPEC, file_name="x")
    (warning,) = loaded.issues
    assert (warning.severity, warning.message) == ("warning", "unknown secret provider: aws")
    assert warning.hint == "not installed on this machine; install its package on the workers"
    assert loaded.dag is not None
    finished = rig.run(task(loaded.dag.steps[0], secrets=loaded.dag.secrets))

    assert finished.outcome == "broken"
    assert 'failed to resolve secret "TOKEN": unknown secret provider: aws' in finished.error


def test_an_exception_of_a_provider_is_reported(rig: Rig, aws: None) -> None:
    finished = rig.run(task(command("true"), secrets=(Secret(name="T", provider="aws", key="prod/token"),)))

    assert finished.outcome == "broken"
    assert finished.error == 'failed to resolve secret "T": aws: You must specify a region.'
    missing = rig.run(task(command("true"), secrets=(Secret(name="T", provider="aws", key="k"),)))
    assert missing.error == "failed to resolve secret \"T\": aws: there is no secret 'k'"


class _Silent(SecretResolver):
    """Asks a provider that does not answer before it is ``released``."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.released = threading.Event(), threading.Event()

    def resolve(self, *_: object, **__: object) -> dict[str, str]:
        self.asked.set()
        self.released.wait()
        return {}


@pytest.mark.parametrize("kind", ["step", "prepare"])
@pytest.mark.parametrize("end", ["stop", "shutdown"])
def test_a_step_ends_while_a_provider_does_not_answer(tmp_path: Path, kind: str, end: str) -> None:
    secrets, silent = (Secret(name="T", provider="vault", key="k"),), _Silent()
    dag = Dag(name="d", secrets=secrets).model_dump(mode="json")
    options = {"prepare": {"dag": dag, "given": ""}} if kind == "prepare" else {}
    try:
        with Rig(tmp_path, resolver=silent) as rig:
            rig.give(task(command("touch ran"), token="t", secrets=secrets, kind=kind, options=options))
            assert silent.asked.wait(60)

            if end == "stop":
                rig.broadcast("worker.w1", StopAttempt(token="t"))
            else:
                rig.worker.stop()

            finished = rig.finished("t")
            assert (finished.outcome, finished.exit_code) == ("aborted" if end == "stop" else "broken", -1)
            assert finished.shutdown == (end == "shutdown")
            assert not rig.work_dir().joinpath("ran").exists()
    finally:
        silent.released.set()


# Each piece is a write of its own, and there is time for the worker to read in between.
IN_PIECES = (
    f"for part in {VALUE[:4]} {VALUE[4:9]} {VALUE[9:]}; do printf %s $part; printf %s $part >&2; sleep 0.1; done"
)


@pytest.mark.parametrize("logs", LogOutput)
def test_a_secret_printed_in_pieces_is_masked_everywhere(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logs: LogOutput
) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    # In one file the streams mix: there only one of them may print.
    text = IN_PIECES if logs is LogOutput.SEPARATE else IN_PIECES.replace("printf %s $part >&2; ", "")
    step = command(f"{text}; exit 3", output=Output(name="O"), stdout="out.txt", stderr="err.txt")
    secrets = (Secret(name="T", provider="env", key="THE_SECRET"),)
    finished = rig.run(task(step, secrets=secrets, log_output=logs))

    assert finished.exit_code == 3
    assert finished.outputs == {"O": "*******"}
    assert rig.log(finished, "stdout") == b"*******"
    assert rig.work_dir().joinpath("out.txt").read_bytes() == b"*******"
    if logs is LogOutput.SEPARATE:
        assert rig.log(finished, "stderr") == b"*******"
        assert rig.work_dir().joinpath("err.txt").read_bytes() == b"*******"
    assert VALUE not in finished.model_dump_json()


def test_a_parameter_sealed_with_an_unknown_key_fails_the_attempt_before_any_command(rig: Rig) -> None:
    sealed = Sealer([SharedKey("k1", b"k" * 32)]).seal(VALUE, [VALUE], task(command("true")))
    given = {"prepare": {"dag": {"name": "d"}, "given": sealed}}
    made = (
        task(command("touch ran"), params=(("A", sealed),), working_dir=str(rig.work_dir())),
        task(command("touch ran"), kind="prepare", options=given),
    )
    for one in made:
        finished = rig.run(one)

        assert finished.outcome == "broken"
        assert "'k1', which this worker does not have: add it to DAGWAY_WORKER_SEAL_KEYS" in finished.error
    assert list(rig.work_dir().iterdir()) == []


def test_text_that_only_began_like_a_secret_is_shipped_at_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    step = command(f"printf %s {VALUE[:4]}; sleep 0.3")
    finished = rig.run(task(step, secrets=(Secret(name="T", provider="env", key="THE_SECRET"),)))

    assert rig.log(finished, "stdout") == VALUE[:4].encode()


def test_a_condition_that_is_not_met_does_not_reveal_the_secret_in_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    step = command("true", preconditions=(Condition(condition="${T}", expected="other"),))
    finished = rig.run(task(step, secrets=(Secret(name="T", provider="env", key="THE_SECRET"),)))

    assert finished.outcome == "skipped"
    assert VALUE not in finished.model_dump_json()
    assert "*******" in finished.error


def test_what_programs_make_of_a_secret_is_masked_wherever_it_goes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    shown = 'b=$(printf "x:%s" "$T" | base64); h=$(printf %s "$T" | od -An -tx1 | tr -d " \\n")\n'
    shown += (
        'for text in $b $h; do echo "$text"; echo "$text" >&2; echo "::notice $text"; echo "::output N=$text"\ndone\n'
    )
    made = task(
        command(shown + "exit 1", output=Output(name="O"), stdout="copy.txt"),
        secrets=(Secret(name="T", provider="env", key="THE_SECRET"),),
    )

    finished = rig.run(made)

    told = [
        finished.error,
        finished.outputs["N"],
        finished.outputs["O"],
        *(remark.text for remark in finished.remarks),
        *(rig.log(finished, stream).decode() for stream in ("stdout", "stderr")),
        (rig.work_dir() / "copy.txt").read_text(),
    ]
    for text in told:
        assert "*******" in text
        assert VALUE.encode().hex() not in text
        assert base64.b64encode(VALUE.encode()[1:-1]).decode().strip("=")[:-1] not in text
        assert base64.b64encode(f"x:{VALUE}".encode()).decode() not in text


def test_what_fails_on_the_worker_leaves_no_secret_in_reports_or_its_log(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("THE_SECRET", VALUE)
    secrets = (Secret(name="T", provider="env", key="THE_SECRET"),)
    tells = "`echo $T >&2; exit 3`"
    dag = {"name": "d", "preconditions": [{"condition": tells, "expected": "x"}], "secrets": [secrets[0].model_dump()]}
    made = (
        task(command("true", env=(("E", tells),)), secrets=secrets),
        task(command("true", retry_policy=RetryPolicy(limit=tells, interval_sec=1)), secrets=secrets),
        task(command("true", stdout=tells), secrets=secrets),
        task(command("true"), kind="prepare", secrets=secrets, options={"prepare": {"dag": dag, "given": ""}}),
    )

    with caplog.at_level(logging.INFO):
        finished = [rig.run(each) for each in made]

    assert VALUE not in str([each.model_dump_json() for each in finished])
    assert "*******" in "".join(each.error for each in finished)
    logged = [f"{record.__dict__} {record.exc_text or record.exc_info}" for record in caplog.records]
    assert any("step_env.dropped" in each for each in logged)
    assert any("attempt.broken" in each for each in logged)
    assert VALUE not in str(logged)
