"""Start the guardian process."""

import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import services
from shared.system.proc import keeps_orphans

__all__ = ["GuardianProcess"]

_log = logging.getLogger(__name__)

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from services.worker.process.guardian.guardian import main
main(int(sys.argv[2]), sys.argv[3:])
"""


class GuardianProcess:
    """The guardian, started with the rights that this process has now.

    ``limits`` are the limits of every process of a step, by the name that ``resource`` gives them; ``cpu`` is in
    seconds. ``worker`` is the user and group that the worker becomes later, if it gives up rights. ``group`` is a
    control group that ``cgroups.take_over`` has prepared, with ``group_limits`` for the processes of each command.
    ``portable`` is for tests: it uses the ways of systems that keep no orphans, although this one does.
    """

    def __init__(
        self,
        limits: Mapping[str, int] | None = None,
        worker: tuple[int, int] | None = None,
        *,
        group: str = "",
        group_limits: Mapping[str, int] | None = None,
        portable: bool = False,
    ) -> None:
        self.limits = frozenset(limits or ())
        self.portable = portable or not keeps_orphans()
        if self.portable and not portable:
            _log.warning("worker.steps_followed_by_looks", extra={"next": "see docs/operations/macos.md"})
        words = [f"{name}={value}" for name, value in (limits or {}).items()]
        if group:
            words += [f"group={group}", *(f"group.{name}={value}" for name, value in (group_limits or {}).items())]
        if self.portable:
            words.append("portable=1")
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

    def wake(self) -> None:
        """Let the process go on if it is stopped."""
        with suppress(PermissionError):  # of a guardian with rights, which no step can stop
            self._process.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Wait for the end of the process. Returns at once in a process that did not start it."""
        self.wake()
        self._process.wait()
