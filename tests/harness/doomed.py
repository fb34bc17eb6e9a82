"""A worker in a separate process that tests control and may kill in the middle of a step.

``python -m tests.harness.doomed FOLDER`` reads one order per line, as JSON: ``give`` a task to the worker,
``stop`` an attempt, or print the ``outcome`` of an attempt as soon as it is reported.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from services.worker.process.guardian.process_tree import MARK
from shared.contracts.control import StopAttempt
from shared.contracts.tasks import Task
from tests.harness.cluster import descendants, gone
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig

__all__ = ["DoomedWorker"]

_ROOT = Path(__file__).parents[2]


class DoomedWorker:
    """Controls the worker process. ``kill`` does what the kernel's out-of-memory killer would do."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        words = [sys.executable, "-m", "tests.harness.doomed", str(folder)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, env=dict(env), text=True
        )
        self.incarnation = self._answer()
        self._guardian = list(descendants(self._process.pid))

    def __enter__(self) -> Self:
        return self

    def give(self, task: Task) -> None:
        self._order(give=task.model_dump(mode="json"))

    def stop(self, token: str) -> None:
        """Stop an attempt, by the control message that a scheduler would send."""
        self._order(stop=token)

    def outcome(self, token: str) -> str:
        """Wait for the end report of an attempt and return its outcome."""
        self._order(outcome=token)
        return self._answer()

    def kill(self) -> None:
        """Kill the worker by SIGKILL; returns when its guardian has cleaned up and ended."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        eventually(lambda: all(gone(pid) for pid in self._guardian))

    def processes(self) -> list[str]:
        """Return the command lines of the processes that its steps have left running."""
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

    def sockets(self) -> set[str]:
        """Return the sockets that the worker has open."""
        found = set()
        for entry in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("socket:"):
                found.add(target)
        return found

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """Run the worker until it is killed or its standard input ends."""
    with Rig(Path(sys.argv[1])) as rig:
        print(rig.worker.incarnation, flush=True)  # noqa: T201 - the answer
        for line in sys.stdin:
            ((verb, value),) = json.loads(line).items()
            if verb == "give":
                rig.give(Task.model_validate(value))
            elif verb == "stop":
                rig.broadcast("worker.w1", StopAttempt(token=value))
            else:
                print(rig.finished(value).outcome, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
