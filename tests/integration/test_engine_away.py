"""A container step on a machine without a container engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.procs import clean_environment


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
