"""End what the spawners that were killed have left. Standard library only: the guardian uses it."""

import os
import signal
import time
from collections.abc import Mapping

from services.worker.process.guardian.process_tree import KILL_TRIES_S, PAUSE_S, ProcessTree, kill_each
from shared.system.rights import become

__all__ = ["KilledSpawners", "kill_all_of"]


class KilledSpawners:
    """The spawners that were killed, each by its pid and with its user."""

    def __init__(self, tree: ProcessTree, *, portable: bool) -> None:
        self._tree = tree
        self._portable = portable
        self._users: dict[int, int] = {}
        self._last = 0.0

    def add(self, pid: int, uid: int) -> None:
        """Note a spawner that was killed."""
        self._users[pid] = uid
        self._last = time.monotonic()

    def end_left(self, living: Mapping[int, int]) -> None:
        """Kill what they left. Call it when a child that was not started here has ended. ``living``: other spawners.

        If portable, there is no second time: no orphan of them is reaped here.
        """
        if not self._users:
            return
        give_up = time.monotonic() + KILL_TRIES_S
        while victims := self._tree.left_by(self._users.keys(), living.keys()):
            kill_each(victims)
            if not self._portable or time.monotonic() > give_up:
                break
            time.sleep(PAUSE_S)
        if not self._portable and time.monotonic() > self._last + KILL_TRIES_S:
            for uid in {*self._users.values()}.difference(living.values()):
                kill_all_of(uid)


def kill_all_of(uid: int) -> None:
    """Kill all processes of a step user at once: some may fork faster than they are found one by one."""
    pid = os.fork()
    if pid == 0:
        try:
            become(uid, uid)
            if uid and os.getuid() == os.geteuid() == uid:
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
