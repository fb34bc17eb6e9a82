"""A container step without a container engine, or with one that hangs or goes away."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.language.model import Step, StepCommand
from tests.harness.counterparts import silent_port
from tests.harness.loopback import Loopback, QuietHandler
from tests.harness.procs import clean_environment
from tests.harness.worker_rig import Rig, task

BOXED = Step(name="s", type="docker", commands=(StepCommand(text="echo", argv=("echo",)),), container={"image": "i"})


class LeavingEngine(QuietHandler):
    """An engine that tells its version and closes the connection at any other request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        if self.path == "/version":
            body = b'{"ApiVersion": "1.41"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_DELETE = do_GET


@pytest.mark.parametrize(
    ("url", "reason"), [("unix:///none.sock", "No such file or directory"), ("tcp://127.0.0.1:1", "Connection refused")]
)
def test_the_step_says_where_no_engine_answers_and_what_to_do(url: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "boxed.yaml").write_text(
        "steps:\n  - {name: box, type: docker, config: {image: none}, command: echo}\n"
    )
    argv = [str(Path(sys.executable).with_name("dagway")), "run", "boxed.yaml"]
    env = clean_environment(tmp_path, DOCKER_HOST=url)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)

    assert done.returncode == 1
    advice = "start Docker or Podman, or set DOCKER_HOST"
    assert f"container engine: cannot connect to {url}: {reason}; {advice}\n" in done.stderr, done.stderr


def test_the_timeout_of_a_step_holds_while_its_engine_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_port() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        with Rig(tmp_path / "worker") as rig:
            finished = rig.run(task(BOXED, timeout_s=0.2, stop_grace_s=0.1))

    assert (finished.outcome, finished.exit_code) == ("timed_out", 124), finished.error


def test_a_step_whose_engine_goes_away_says_so_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(LeavingEngine) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.port}")
        with Rig(tmp_path / "worker") as rig:
            finished = rig.run(task(BOXED))

    assert finished.error.endswith(": container engine: the server closed the connection without an answer")
