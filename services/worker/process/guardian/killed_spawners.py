"""End what the spawners that were killed have left. Standard library only: the guardian uses it."""

import os
import signal
import time
from collections.abc import Mapping

from services.worker.process.guardian.process_tree import KILL_TRIES_S, PAUSE_S, ProcessTree, descendants, kill_each
from shared.system.proc import running, user_ids
from shared.system.rights import become

__all__ = ["KilledSpawners"]


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

    def forget(self, uid: int) -> None:
        """Note that the spawners of this user have left nothing."""
        self._users = {pid: owner for pid, owner in self._users.items() if owner != uid}

    def end_left(self, living: Mapping[int, int]) -> None:
        """Kill what they left. Call it whenever a child may have ended. ``living``: other spawners."""
        if not self._users:
            return
        give_up = time.monotonic() + KILL_TRIES_S
        while victims := self._tree.left_by(self._users.keys(), living.keys()):
            kill_each(victims)
            if not self._portable or time.monotonic() > give_up:
                break
            time.sleep(PAUSE_S)
        if self._portable:
            self._users.clear()  # there is no second time: no orphan of them is reaped here
        elif time.monotonic() > self._last + KILL_TRIES_S:
            for uid in {*self._users.values()}.difference(living.values()):
                if self.kill_all_of(uid):
                    self.forget(uid)

    def kill_all_of(self, uid: int) -> bool:
        """Kill all processes of a step user at once: some may fork faster than they are found one by one.

        Return whether that was possible. It is not if portable, nor if others have the same user: another worker on
        this host may, and a single step user may have a login.
        """
        # In two looks, because a process may lose its parent during one.
        if self._portable or _of_others(uid) & _of_others(uid):
            return False
        try:
            pid = os.fork()
        except OSError:  # the steps may have used up all processes
            return False
        if pid == 0:
            code = 1
            try:
                become(uid, uid)
                if uid and os.getuid() == os.geteuid() == uid:
                    os.kill(-1, signal.SIGKILL)
                    code = 0
            finally:
                os._exit(code)
        # It has the step's user by then, so a step may stop or kill it.
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return status == 0


def _of_others(uid: int) -> set[int]:
    """Return the processes of a user that do not descend from this process."""
    processes = running()
    return {pid for pid in processes.keys() - descendants(processes, {os.getpid()}) if uid in user_ids(pid)}
