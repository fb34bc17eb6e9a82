"""Real Dagway processes for tests: clean environment, output to a file, an end in every case."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.eventually import eventually
from tests.harness.reaper import forget, kill_group, spawn

__all__ = ["DagwayProcess", "clean_environment", "refused"]

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """Return an environment without anything of the developer's own, plus ``extra``."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", **extra}


class DagwayProcess:
    """One ``dagway`` command as a process of its own.

    Args:
        args: the command line after ``dagway``, for instance ``("worker",)``.
        folder: its working directory and home; made if missing. The log is beside what it writes.
        env: the ``DAGWAY_*`` settings; nothing is inherited from the test's own environment.
        program: another installation's ``dagway`` than that of the environment the test runs in.
    """

    def __init__(
        self,
        *args: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        name: str = "",
        program: Path | None = None,
    ) -> None:
        self.args = args
        self.program = program or Path(sys.executable).with_name("dagway")
        self.folder = folder
        self.env = dict(env or {})
        self.log = folder / f"{name or args[0]}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, again too after it ended; returns at once (see ``wait_ready``)."""
        if self.running:
            msg = f"{self.args} is running already"
            raise RuntimeError(msg)
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [str(self.program), *self.args]
        self._process = spawn(argv, env=clean_environment(self.folder, **self.env), cwd=self.folder, log=self.log)
        return self

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, of its last start."""
        return self._started.pid

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            msg = f"{self.args} was not started"
            raise RuntimeError(msg)
        return self._process

    def output(self) -> str:
        """Return all that it has printed, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_ready(self, ready: str | Callable[[], object], *, timeout_s: float = 20.0) -> Self:
        """Wait until a URL answers 200, or a condition holds; fails at once when the process ends."""

        def check() -> None:
            if not self.running:
                msg = f"{self.args} ended with {self._started.returncode}:\n{self.output()[-4000:]}"
                raise RuntimeError(msg)
            if isinstance(ready, str):
                assert _answers_200(ready), f"{ready} does not answer 200\n{self.output()[-4000:]}"
            else:
                assert ready() is not False, f"not ready\n{self.output()[-4000:]}"

        eventually(check, timeout_s=timeout_s, every_s=0.05)
        return self

    def wait_output(self, text: str, *, timeout_s: float = 20.0) -> Self:
        """Wait until it has printed ``text``."""
        return self.wait_ready(lambda: text in self.output(), timeout_s=timeout_s)

    def wait_exit(self, *, timeout_s: float = 20.0) -> int:
        """Wait for its end and return the exit code (negative: the signal that ended it)."""
        code = self._started.wait(timeout_s)
        forget(self._started)
        return code

    def kill9(self) -> None:
        """SIGKILL this one process, and nothing that it started: what a crash does."""
        self._started.kill()
        self.wait_exit()

    def freeze(self) -> None:
        """Stop it from being scheduled (SIGSTOP): alive, but deaf."""
        self._started.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._started.send_signal(signal.SIGCONT)

    def terminate(self, *, timeout_s: float = 20.0) -> int:
        """Ask it to end (SIGTERM), wait, and return the exit code."""
        self._started.terminate()
        return self.wait_exit(timeout_s=timeout_s)

    def close(self) -> None:
        """Make sure that it and its session are gone, in good order if that takes under 5 s."""
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
    """Run a command that must refuse to start: exit code 2 (a setting) or 1, one line; return the line."""
    with DagwayProcess(*args, folder=folder, env=env) as process:
        assert process.wait_exit(timeout_s=20) in {1, 2}, process.output()
    (line,) = process.output().splitlines()
    return line


def _answers_200(url: str) -> bool:
    if not url.startswith("http://127.0.0.1:"):
        msg = f"not a loopback address: {url}"
        raise ValueError(msg)
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
