"""Real Dagway processes for tests, with a clean environment and output to a file. They always end with the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.eventually import PATIENCE_S, answers_200, eventually
from tests.harness.reaper import Child, forget, fork, kill_group, spawn
from tests.harness.signing import signing_settings

__all__ = ["OWN_PROGRAM", "DagwayProcess", "clean_environment", "refused"]

OWN_PROGRAM = Path(sys.executable).with_name("dagway")
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """Return an environment without the developer's own variables, plus ``extra``."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", **extra}


class DagwayProcess:
    """One ``dagway`` command as a process.

    Args:
        args: the command line after ``dagway``, for instance ``("worker",)``.
        folder: its working directory, home and place of its log; created if missing.
        env: the ``DAGWAY_*`` settings, besides the keys for signing messages. Nothing is inherited from the test's own
            environment.
        program: the ``dagway`` to execute. Without it, the fork server starts the one of the test's environment, which
            is cheaper (see ``fork_server`` for the differences).
        user: the uid and gid to run as, if not the test's own (needs root).
    """

    def __init__(
        self,
        *args: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        name: str = "",
        program: Path | None = None,
        user: int | None = None,
    ) -> None:
        self.args = args
        self.user = user
        # A gateway is executed: gevent has to replace parts of the standard library before other modules import them.
        self._forked = program is None and user is None and args[0] != "api"
        self.program = program or OWN_PROGRAM
        self.folder = folder
        self.env = signing_settings(args[0]) | dict(env or {})
        self.log = folder / f"{name or args[0]}.log"
        self._process: Child | None = None

    def start(self) -> Self:
        """Start the process, also again after its end. Does not wait until it is ready (see ``wait_ready``)."""
        if self.running:
            msg = f"{self.args} is running already"
            raise RuntimeError(msg)
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [str(self.program), *self.args]
        env = clean_environment(self.folder, **self.env)
        # Python reads its own variables before it can be forked.
        if self._forked and not any(name.startswith("PYTHON") for name in self.env):
            self._process = fork(argv, env=env, cwd=self.folder, log=self.log)
        else:
            self._process = spawn(argv, env=env, cwd=self.folder, log=self.log, user=self.user)
        return self

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._started.pid

    @property
    def _started(self) -> Child:
        if self._process is None:
            msg = f"{self.args} was not started"
            raise RuntimeError(msg)
        return self._process

    def output(self) -> str:
        """Return everything that the process has printed, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_ready(self, ready: str | Callable[[], object], *, timeout_s: float = PATIENCE_S) -> Self:
        """Wait until a URL answers 200, or a condition holds. Fails immediately if the process ends."""

        def check() -> None:
            if not self.running:
                msg = f"{self.args} ended with {self._started.returncode}:\n{self.output()[-4000:]}"
                raise RuntimeError(msg)
            if isinstance(ready, str):
                assert answers_200(ready), f"{ready} does not answer 200\n{self.output()[-4000:]}"
            else:
                assert ready() is not False, f"not ready\n{self.output()[-4000:]}"

        eventually(check, timeout_s=timeout_s, every_s=0.05)
        return self

    def wait_output(self, text: str, *, timeout_s: float = PATIENCE_S) -> Self:
        """Wait until the process has printed ``text``."""
        return self.wait_ready(lambda: text in self.output(), timeout_s=timeout_s)

    def wait_exit(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the end and return the exit code; it is negative if a signal ended the process."""
        code = self._started.wait(timeout_s)
        forget(self._started)
        return code

    def kill9(self) -> None:
        """Kill this process by SIGKILL, but not its children, as a crash would."""
        self._started.kill()
        self.wait_exit()

    def abort(self) -> str:
        """End the process by SIGABRT and return the end of its output: if it was forked, the stacks of its threads."""
        if self.running:
            self._started.send_signal(signal.SIGABRT)
            self.wait_exit()
        return self.output()[-6000:]

    def freeze(self) -> None:
        """Stop the process by SIGSTOP: it stays alive but does nothing."""
        self._started.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process continue."""
        self._started.send_signal(signal.SIGCONT)

    def terminate(self, *, timeout_s: float = PATIENCE_S) -> int:
        """Send SIGTERM, wait for the end and return the exit code."""
        self._started.terminate()
        return self.wait_exit(timeout_s=timeout_s)

    def close(self) -> None:
        """End the process and its session: by SIGTERM, after 5 s by SIGKILL."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                kill_group(process)
        forget(process)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refused(folder: Path, *args: str, **env: str) -> str:
    """Run a command that must refuse to start, and return the one line that it prints.

    Its exit code must be 2 for a bad setting, or 1.
    """
    with DagwayProcess(*args, folder=folder, env=env) as process:
        assert process.wait_exit() in {1, 2}, process.output()
    (line,) = process.output().splitlines()
    return line
