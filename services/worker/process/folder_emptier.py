"""Removes folders of steps: those of the worker itself, and others as their owners, since the worker has no right to.

Both in a process of its own. A step can make folders so deep, or with so many entries, that removing them takes more
memory and open files than a worker has.
"""

import logging
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from services.worker.process.guardian_client import GuardianClient
from services.worker.process.guardian_connection import GuardianLost
from services.worker.process.step_users import StepUsers
from shared.ids import new_token

__all__ = ["FolderEmptier", "remove_folder"]

_log = logging.getLogger(__name__)

_LIMIT_S = 600.0
"""How long to wait for a folder. The process goes on afterwards; what it leaves is tried again at the next removal."""
_PROGRAM = 'rm -rf -- "$1" || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }'
"""Opens folders that a step has closed even to its own user. Neither follows symbolic links."""


def remove_folder(folder: Path) -> None:
    """Remove a folder with this process's rights, as far as possible."""
    nothing = subprocess.DEVNULL
    words = ["/bin/sh", "-c", _PROGRAM, "remove", str(folder)]
    with suppress(OSError):  # no memory or process for it: tried again at the next removal
        try:
            subprocess.run(words, stdin=nothing, stdout=nothing, stderr=nothing, env={}, check=False, timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            _log.warning("run_files.still_emptying", extra={"folder": str(folder), "uid": os.geteuid()})


class FolderEmptier:
    """Removes what is in a folder, by a process of the folder's owner, which the guardian starts."""

    def __init__(self, guardian: GuardianClient, users: StepUsers) -> None:
        self._guardian = guardian
        self._users = users

    def end_left(self, run: str) -> None:
        """End what is left of the processes of a root run without an attempt, if it has a user of its own."""
        with suppress(GuardianLost, TimeoutError):  # a busy guardian ends no worker
            self._users.end_left(run)

    def __call__(self, uid: int, folder: Path) -> None:
        """Empty ``folder`` as the step user ``uid``, as far as possible. Does nothing if that is no step user."""
        user = self._users.with_uid(uid)
        if user is None:
            return
        ended = threading.Event()
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            self._guardian.spawn(
                ["/bin/sh", "-c", _PROGRAM, "empty", str(folder)],
                env={},
                cwd="/",
                stdout=nothing,
                stderr=nothing,
                attempt=f"empty.{new_token()}",
                on_end=lambda _process: ended.set(),
                user=user,
            )
        except GuardianLost:
            return
        finally:
            os.close(nothing)
        if not ended.wait(_LIMIT_S):
            _log.warning("run_files.still_emptying", extra={"folder": str(folder), "uid": uid})
