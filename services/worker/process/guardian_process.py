"""Start the guardian process."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import services

__all__ = ["GuardianProcess"]

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from services.worker.process.guardian import main
main(int(sys.argv[2]), sys.argv[3:])
"""


class GuardianProcess:
    """The guardian, started with the rights that this process has now.

    ``limits`` are the limits of every process of a step, by the name that ``resource`` gives them; ``cpu`` is in
    seconds. ``worker`` is the user and group that the worker becomes later, if it gives up rights.
    """

    def __init__(self, limits: Mapping[str, int] | None = None, worker: tuple[int, int] | None = None) -> None:
        words = [f"{name}={value}" for name, value in (limits or {}).items()]
        if worker is not None:
            words += [f"uid={worker[0]}", f"gid={worker[1]}"]
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        root = str(Path(str(services.__file__)).parents[1])
        with theirs:
            # In a session of its own: the guardian must survive a signal to the worker's process group, to clean up.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, root, str(theirs.fileno()), *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> None:
        """Wait for the end of the process. Returns at once in a process that did not start it."""
        self._process.wait()
