"""A worker in a process of its own that is given one task and is to be killed in the middle of it.

``python -m tests.harness.doomed FOLDER`` reads the task from standard input.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from services.worker.guardian import MARK
from shared.contracts.tasks import Task
from tests.harness.eventually import eventually
from tests.harness.worker_rig import Rig

__all__ = ["DoomedWorker"]

_ROOT = Path(__file__).parents[2]


class DoomedWorker:
    """Runs ``task``; ``kill`` is what the kernel's memory killer would do."""

    def __init__(self, folder: Path, task: Task, env: Mapping[str, str]) -> None:
        words = [sys.executable, "-m", "tests.harness.doomed", str(folder)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, env=dict(env))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(task.model_dump_json().encode())
        self._process.stdin.close()
        self.incarnation = self._process.stdout.readline().decode().strip()

    def __enter__(self) -> Self:
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def processes(self) -> list[str]:
        """Return the commands of the processes that are left of it: its steps', and its guardian."""
        found = []
        mark = f"{MARK}={self.incarnation}".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    if mark in (folder / "environ").read_bytes():
                        found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
        return found

    def until_running(self) -> None:
        """Wait until the step's process lives."""
        eventually(lambda: self.processes() != [])

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


def main() -> None:
    """Run the worker until it is killed."""
    task = Task.model_validate(json.load(sys.stdin))
    with Rig(Path(sys.argv[1])) as rig:
        rig.give(task)
        print(rig.worker.incarnation, flush=True)  # noqa: T201 - the answer
        threading.Event().wait(60)


if __name__ == "__main__":
    main()
