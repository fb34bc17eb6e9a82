"""What the guardian does for a worker that has died."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

from services.worker.process.guardian.process_tree import PAUSE_S

__all__ = ["run_cleanups"]

_TOGETHER_S = 20.0
"""The time limit of all programs together."""


def run_cleanups(cleanups: Iterable[dict[str, Any]]) -> None:
    """Run the cleanups. By now no process of a step is left that could write a file or start a process."""
    running = []
    for cleanup in cleanups:
        for path in cleanup["files"]:
            with contextlib.suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        if cleanup["argv"]:
            with contextlib.suppress(OSError):
                running.append(os.posix_spawn(cleanup["argv"][0], cleanup["argv"], {}, setsid=True))
    give_up = time.monotonic() + _TOGETHER_S
    for pid in running:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > give_up:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(PAUSE_S)
