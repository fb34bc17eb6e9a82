"""The base class of both servers."""

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.eventually import PATIENCE_S, free_port
from tests.harness.memory_folder import memory_folder
from tests.harness.reaper import forget, kill_group, remove_at_end

__all__ = ["START_TIMEOUT_S", "Server"]

START_TIMEOUT_S = 240.0
"""One RabbitMQ node starts in 17 s beside six busy loops on two CPUs. A new cluster: see ``RabbitCluster``."""
_ROOM_BYTES = 6_000_000_000
"""What the servers of all test processes need together, by far."""


class Server:
    """A server process with its directory and log.

    ``in_memory`` keeps its files in memory if there is room: there a database is made and dropped several times faster.
    They survive the death of the server there too.
    """

    def __init__(self, name: str, *, in_memory: bool = False) -> None:
        folder = memory_folder(_ROOM_BYTES) if in_memory else None
        self.dir = Path(tempfile.mkdtemp(prefix=f"dagway-{name}-", dir=folder))
        remove_at_end(self.dir)
        self.log = self.dir / "server.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server's process exists (it may still be starting)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start the server and return when it answers. Data of earlier starts is kept."""
        raise RuntimeError(type(self).__name__)

    def _signal_and_wait(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                kill_group(process)
        forget(process)
        self._process = None

    def kill(self) -> None:
        """Kill the server by SIGKILL, as a crash would."""
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            kill_group(self._process)
            self._process = None

    def stop(self) -> None:
        """Stop the server in an orderly way."""
        self._signal_and_wait(signal.SIGTERM)

    def restart(self) -> None:
        """Stop the server in an orderly way and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill the server and remove its directory."""
        self._kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_tail(self) -> str:
        """Return the last 3000 characters of the server's log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
