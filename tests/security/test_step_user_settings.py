"""Settings that would not give steps a user of their own are refused at the start."""

import os
from pathlib import Path

import pytest

from tests.harness.procs import DagwayProcess, refused


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"DAGWAY_STEP_USER": "30000"}, "DAGWAY_WORKER_USER must be set"),
        ({"DAGWAY_STEP_USER": "30000", "DAGWAY_WORKER_USER": "30000"}, "the worker's own user"),
        ({"DAGWAY_WORKER_USER": "30000"}, "steps would run as root"),
        ({"DAGWAY_STEP_USER": "0"}, "is root"),
        ({"DAGWAY_STEP_USER": "nobody-here"}, "is not a user"),
        ({"DAGWAY_STEP_USER": "30000-20000"}, "is not a range"),
    ],
)
def test_settings_that_would_not_separate_steps_are_refused(tmp_path: Path, env: dict[str, str], said: str) -> None:
    if os.geteuid() != 0 and said == "DAGWAY_WORKER_USER must be set":
        said = "this process may not change users"
    if os.geteuid() != 0 and "own user" in said:
        pytest.skip("a developer's worker may not change users at all")

    assert said in refused(tmp_path, "worker", DAGWAY_AMQP_URL="amqp://127.0.0.1:1/", **env)


def test_a_step_user_needs_the_right_to_change_users(
    open_folder: Path, program: Path, unprivileged: int | None
) -> None:
    env = {"DAGWAY_STEP_USER": "30000", "DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/"}
    folder = open_folder / "powerless"
    with DagwayProcess("worker", folder=folder, env=env, program=program, user=unprivileged) as process:
        assert process.wait_exit() == 2
        assert "this process may not change users" in process.output()
