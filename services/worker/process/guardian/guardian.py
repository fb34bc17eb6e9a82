"""The guardian: one small process for each worker. It starts the processes of steps and ends them if the worker dies.

It runs with ``python -I -S`` and imports the standard library only. It is a child subreaper: every process that a step
leaves behind, also by a double fork or in a new session, stays a descendant of the guardian. Where there are no
subreapers it is *portable*: it remembers which processes it has seen below a step (``remembered_tree``).

Requests arrive on a stream socket (``messages``). One that starts a process carries the descriptors for stdout and
stderr, and optionally stdin. When the worker's end of the socket closes, for whatever reason, the guardian kills all
descendants, runs the registered cleanups and exits.

    spawn {id, argv, env, cwd}   start a process; one reply, when it has ended: {id, pid, code | signal | errno, what,
                                 limit, orphans: whether ended processes have left others};
                                 if portable another one before: {id, started}, the pid
    signal {id, sig}             signal the process group; no reply
    kill {req, id, pid, mark}    kill session, descendants and marked processes; reply {req, left}
    count {req, id, pid, mark}   count the same processes, if alive; reply {req, left}
    holders {req, files}         count the orphans that have one of the files open; reply {req, left}
    cleanup {id, files, argv}    if the worker dies, remove these files or empty folders and run this program; no reply
    withdraw {id}                forget a cleanup: the worker cleaned up itself; no reply
    user {uid, gid}              fork a spawner for this user, which serves the socket sent with the request; no reply
    end {req, uid}               kill the spawners of this user and what they started; reply {req, left}

A *spawner* is a guardian that has become a step user for good. So the steps of this user are started without a fork of
a privileged process for each. A step can kill the spawner of its own user, and with it the other steps of this user;
the guardian then kills what is left of them. A step can also stop it (SIGSTOP), so what must end for certain the
guardian kills itself.

The guardian does not read the output of steps, has no timeouts for them and does not know what a step is.
"""

import contextlib
import errno
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Iterable
from typing import Any

from services.worker.process.guardian.cgroups import AskedGroups, StepGroups, limit_reached
from services.worker.process.guardian.cleanups import run_cleanups
from services.worker.process.guardian.find_program import find_program
from services.worker.process.guardian.killed_spawners import KilledSpawners
from services.worker.process.guardian.messages import packed, receive
from services.worker.process.guardian.process_tree import KILL_TRIES_S, MARK, PAUSE_S, KeptTree, ProcessTree, kill_each
from services.worker.process.guardian.remembered_tree import RememberedTree, spawner_mark
from shared.system.proc import has_open
from shared.system.rights import become, forbid_new_privileges, limit_cpu, make_subreaper, make_unreadable, set_limits

__all__ = ["Guardian", "main"]

_UMASK = 0o027
"""The umask of a step with a user of its own. The group has no member but the worker, which reads the step's files."""
_MOST_REAPED = 200
_CPU_GRACE_S = 5
"""A process that ignores SIGXCPU is killed after this much more CPU time."""


class Guardian:
    """The event loop. Single-threaded, so that it can change the working directory before a spawn."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        cpu_s: int = 0,
        portable: bool = False,
        groups: StepGroups | AskedGroups | None = None,
    ) -> None:
        self._sock = sock
        self._groups = groups
        self._group_of: dict[int, str] = {}
        self._asking: dict[int, tuple[socket.socket, int]] = {}
        """By descriptor: the socket on which a spawner asks for control groups, and the spawner's pid."""
        self._cpu_s = cpu_s
        self._portable = portable
        self._tree: ProcessTree = RememberedTree() if portable else KeptTree()
        self._spawners: dict[int, int] = {}  # by pid: the user
        self._killed_spawners = KilledSpawners(self._tree, portable=portable)
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._cleanups: dict[int, dict[str, Any]] = {}
        self._poll = select.poll()
        self._wake_r, self._wake_w = os.pipe()
        for fd in (self._wake_r, self._wake_w):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU):
            signal.signal(ignored, signal.SIG_IGN)
        self._null = os.open(os.devnull, os.O_RDONLY)
        # exec resets handled signals to their default, but an ignored signal would stay ignored.
        self._ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]

    def run(self) -> None:
        """Serve until the worker's end closes, then kill every descendant."""
        self._poll.register(self._sock, select.POLLIN)
        self._poll.register(self._wake_r, select.POLLIN)
        with contextlib.suppress(ConnectionError):
            while True:
                wait_s = self._tree.wait_s
                for fd, _ in self._poll.poll(None if wait_s is None else wait_s * 1000):
                    if fd == self._wake_r:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_r, 4096)
                        self._reap()
                    elif fd in self._asking:
                        self._serve_spawner(fd)
                    elif not self._serve():
                        raise ConnectionResetError
                self._tree.look()
        self._end_all()

    def run_cleanups(self) -> None:
        """Run the cleanups that the worker registered and did not withdraw. Call it after ``run``."""
        run_cleanups(self._cleanups.values())

    def _serve(self) -> bool:
        received = receive(self._sock)
        if received is None:
            return False
        request, fds = received
        op = request["op"]
        if op == "spawn":
            self._spawn(request, fds)
        elif op == "signal":
            pid = self._pids.get(request["id"])
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, request["sig"])
        elif op == "cleanup":
            self._cleanups[request["id"]] = request
        elif op == "withdraw":
            self._cleanups.pop(request["id"], None)
        elif op == "user":
            self._start_spawner(request["uid"], request["gid"], fds)
        elif op == "holders":
            left = sum(has_open(pid, request["files"]) for pid in self._orphans())
            self._send({"req": request["req"], "left": left})
        elif op == "end":
            self._send({"req": request["req"], "left": self._end_spawners(request["uid"])})
        else:
            pid = self._pids.get(request["id"], request["pid"])
            left = self._kill(pid, request["mark"]) if op == "kill" else len(self._tree.of_step(pid, request["mark"]))
            self._send({"req": request["req"], "left": left})
        return True

    def _spawn(self, request: dict[str, Any], fds: list[int]) -> None:
        argv, env = request["argv"], request["env"]
        try:
            if self._cpu_s:
                # For the step to inherit. This process ignores SIGXCPU, and the kernel raises its limit at each one.
                _, hard = resource.getrlimit(resource.RLIMIT_CPU)
                resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, hard))
            os.chdir(request["cwd"])
            path = find_program(argv[0], env.get("PATH", os.defpath))
            pid = self._start(path, argv, env, fds)
        except (OSError, ValueError) as error:
            number, what = (error.errno, error.filename) if isinstance(error, OSError) else (errno.EINVAL, None)
            self._send({"id": request["id"], "pid": 0, "errno": number, "what": what})
        else:
            self._pids[request["id"]] = pid
            self._ids[pid] = request["id"]
            self._tree.begin(env[MARK], pid)
            if self._portable:
                self._send({"id": request["id"], "started": pid})
            if self._cpu_s:
                # For a step that ignores SIGXCPU. Only from outside: a hard limit would end this process too.
                limit_cpu(pid, self._cpu_s, self._cpu_s + _CPU_GRACE_S)
        finally:
            for fd in fds:
                os.close(fd)
            os.chdir("/")

    def _start(self, path: str, argv: list[str], env: dict[str, str], fds: list[int]) -> int:
        """Start a process, in a control group of its own if there are groups: it inherits this process's."""
        group = self._groups.enter() if self._groups is not None else ""
        pid = 0
        try:
            pid = os.posix_spawn(
                path,
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fds[2] if len(fds) > 2 else self._null, 0),
                    (os.POSIX_SPAWN_DUP2, fds[0], 1),
                    (os.POSIX_SPAWN_DUP2, fds[1], 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=self._ignored,
            )
        finally:
            if self._groups is not None:
                with contextlib.suppress(OSError):
                    self._groups.leave()
                if pid:
                    self._group_of[pid] = group
                else:
                    self._groups.end(group)
        return pid

    def _start_spawner(self, uid: int, gid: int, fds: list[int]) -> None:
        (fd,) = fds
        # If the fork fails, the worker sees the end of the socket.
        with contextlib.suppress(OSError):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if self._groups else (None, None)
            pid = os.fork()
            if pid == 0:
                if ours is not None:
                    ours.close()
                self._become_spawner(uid, gid, fd, theirs)
            if ours is not None and theirs is not None:
                theirs.close()
                self._asking[ours.fileno()] = ours, pid
                self._poll.register(ours, select.POLLIN)
            self._spawners[pid] = uid
            self._tree.begin(spawner_mark(pid), pid)
        os.close(fd)

    def _serve_spawner(self, fd: int) -> None:
        asking, pid = self._asking[fd]
        assert isinstance(self._groups, StepGroups)  # noqa: S101 - a spawner itself has no spawners
        # The kernel may have given the pid of one that was reaped to another process.
        if pid in self._spawners and self._groups.serve(asking, pid):
            return
        self._groups.end_of(pid)
        self._poll.unregister(fd)
        del self._asking[fd]
        asking.close()

    def _become_spawner(self, uid: int, gid: int, fd: int, asked: socket.socket | None) -> None:
        code = 1
        try:
            # The forked process must not hold the guardian's sockets, nor write to its pipe.
            for mine in (self._sock.fileno(), self._wake_r, self._wake_w, self._null, *self._asking):
                os.close(mine)
            os.umask(_UMASK)
            os.setsid()
            become(uid, gid)
            forbid_new_privileges()
            if not self._portable:
                make_subreaper()
            groups = AskedGroups(asked) if asked is not None else None
            Guardian(socket.socket(fileno=fd), cpu_s=self._cpu_s, portable=self._portable, groups=groups).run()
            code = 0
        finally:
            os._exit(code)

    def _end_spawners(self, uid: int) -> int:
        """Kill the spawners of a user and all that they started; return how many processes are left."""
        left = mine = {pid for pid, owner in self._spawners.items() if owner == uid}
        give_up = time.monotonic() + KILL_TRIES_S
        while left and time.monotonic() < give_up:
            kill_each(left)
            self._killed_spawners.kill_all_of(uid)
            time.sleep(PAUSE_S)
            self._reap()
            left = self._tree.left_by(mine, self._spawners.keys() - mine)
        if not left:
            self._killed_spawners.forget(uid)
        return len(left)

    def _reap(self) -> bool:
        """Reap ended children, including adopted ones; return whether any child is left."""
        any_left = True
        # Not all: a step may fork without end, and each of its processes may end at once.
        for _ in range(_MOST_REAPED):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid, status, any_left = 0, 0, False
            if pid == 0:
                break
            name = self._ids.pop(pid, None)
            if name is None:
                uid = self._spawners.pop(pid, 0)
                if uid and status:  # a spawner that ended by itself has left nothing
                    self._killed_spawners.add(pid, uid)
                continue
            del self._pids[name]
            code = os.waitstatus_to_exitcode(status)
            facts = {"limit": self._end_group(pid), "orphans": bool(self._orphans())}
            self._send({"id": name, "pid": pid, **({"code": code} if code >= 0 else {"signal": -code}), **facts})
        else:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_w, b"+")
        self._killed_spawners.end_left(self._spawners)
        return any_left

    def _orphans(self) -> set[int]:
        return self._tree.orphans(self._ids.keys() | self._spawners.keys())

    def _end_group(self, pid: int) -> str:
        """Remove the control group of a process that has ended; return the limit that it ran into."""
        group = self._group_of.pop(pid, "")
        if self._groups is None or not group:
            return ""
        limit = limit_reached(group)
        self._groups.end(group)
        return limit

    def _send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(packed(message))

    def _kill(self, pid: int, mark: str) -> int:
        give_up = time.monotonic() + KILL_TRIES_S
        while (victims := self._tree.of_step(pid, mark)) and time.monotonic() < give_up:
            kill_each(victims)
            self._reap()
            time.sleep(PAUSE_S)
        self._reap()
        return len(victims)

    def _end_all(self) -> None:
        """Kill every descendant.

        Orphaned descendants become children of the subreaper, so no descendant is left when no child is left. If
        portable, the orphans that are known are killed too.
        """
        self._sock.close()
        self._ids.clear()
        while self._reap():
            kill_each(self._tree.all())
            select.select([self._wake_r], [], [], PAUSE_S)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_r, 4096)
        give_up = time.monotonic() + KILL_TRIES_S
        while self._portable and (victims := self._tree.all()) and time.monotonic() < give_up:
            kill_each(victims)
            time.sleep(PAUSE_S)
        if isinstance(self._groups, StepGroups):
            self._groups.end_all()


def main(fd: int, words: Iterable[str]) -> None:
    """Serve ``fd``. ``words`` are ``name=number``: limits of steps, ``portable``, and the worker's ``uid`` and ``gid``.

    ``group=PATH`` is the control group of the worker, and ``group.NAME=number`` a limit of the groups of steps. The
    cleanups run as the worker's user.
    """
    texts = dict(word.split("=", 1) for word in words)
    base = texts.pop("group", "")
    given = {name: int(number) for name, number in texts.items()}
    of_group = {name.removeprefix("group."): given.pop(name) for name in list(given) if name.startswith("group.")}
    uid, gid, cpu_s = given.pop("uid", os.geteuid()), given.pop("gid", os.getegid()), given.pop("cpu", 0)
    portable = bool(given.pop("portable", 0))
    make_unreadable()
    if not portable:
        make_subreaper()
    set_limits(given)
    # Steps must not inherit this descriptor: they could send messages to the worker, and keep the socket open after
    # the guardian's death, so that the worker would not notice it.
    os.set_inheritable(fd, False)
    os.chdir("/")
    groups = StepGroups(base, of_group) if base else None
    guardian = Guardian(socket.socket(fileno=fd), cpu_s=cpu_s, portable=portable, groups=groups)
    guardian.run()
    if (uid, gid) != (os.geteuid(), os.getegid()):
        become(uid, gid)
    guardian.run_cleanups()
