"""A run keeps its user while it has an attempt, also if no process of it runs just now."""

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from shared.language.model import Step, StepCommand
from shared.settings.user_readers import StepUserRange
from tests.harness.cluster import gone, pid_in
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, script, task
from tests.security.conftest import FIRST_UID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start steps of several users")


def _of(run: str) -> dict[str, Any]:
    return {"run_key": f"d/{run}", "dag_run_id": run, "root_dag_run_id": run}


def test_a_run_whose_attempt_has_no_process_shares_its_user_with_no_other_run(open_folder: Path) -> None:
    """Else the next process of the attempt could be read, and its run's files changed, by another run."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    show = command("id -u")
    users = StepUserRange(FIRST_UID, FIRST_UID, 2)
    with socket.create_server(("127.0.0.1", 0)) as server, Rig(folder, step_users=users) as rig:
        server.settimeout(PATIENCE_S)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        ask = Step(name="s", type="http", commands=(StepCommand(text="", argv=("GET", url)),))

        def user(run: str) -> bytes:
            return rig.log(rig.run(task(show, **_of(run))), "stdout")

        first = user("a")
        rig.give(task(ask, token="asks", **_of("a")))
        connection, _ = server.accept()
        others = [user("b"), user("c"), user("d")]
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.close()

        assert rig.finished("asks").outcome == "succeeded"
        assert first not in others
        assert user("a") == first


def test_what_a_run_left_ends_when_its_files_are_removed(open_folder: Path) -> None:
    """Also what has left its session and its environment, which the end of its step does not find."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    daemon = "setsid sh -c 'echo $$ > pid; exec env -i sleep 1042' < /dev/null > /dev/null 2>&1 &"
    left = f"{daemon} until test -s pid; do sleep 0.05; done"
    users = StepUserRange(FIRST_UID, FIRST_UID, 2)
    with Rig(folder, step_users=users) as rig:
        assert rig.run(task(script(left), **_of("a"))).outcome == "succeeded"
        pid = pid_in(folder.resolve() / "runs/d/a/pid")
        rig.run(task(script(left), **_of("b")))
        other = pid_in(folder.resolve() / "runs/d/b/pid")
        assert not gone(pid)

        rig.worker.run_files.ended([("d", "a")])
        rig.worker.run_files.remove_succeeded(time.monotonic() + 3600)

        eventually(lambda: gone(pid))
        assert not gone(other)
