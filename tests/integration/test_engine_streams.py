"""The output and the exit code of a command in a container, as an engine on a busy machine gives them."""

import json
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from services.worker.executors.cancel_scope import CancelScope
from services.worker.executors.container.engine import Engine
from services.worker.executors.container.spec import read_spec
from shared.language.model import Step, StepCommand
from tests.harness.loopback import Loopback, QuietHandler
from tests.harness.worker_rig import Rig, task

INSIDE = Step(name="s", type="docker", commands=(StepCommand(text="c", argv=("c",)),), container={"exec": "box"})


class HastyEngine(QuietHandler):
    """An engine whose answer has output in the same packet as its head, and whose exit code comes late."""

    protocol_version = "HTTP/1.1"
    output = b""
    looks = 0
    _counting = threading.Lock()

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if not self.path.endswith("/json"):
            self._answer({"ApiVersion": "1.41"})
            return
        with self._counting:
            type(self).looks += 1
        ended = self.looks > 2
        self._answer({"Running": not ended, "ExitCode": 3 if ended else None})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.path.endswith("/start"):
            self._answer({"Id": "e1"})
            return
        head = "101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp" if "Upgrade" in self.headers else "200 OK"
        self.wfile.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + self.output)
        self.close_connection = True


def frame(number: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", number, len(data)) + data


@pytest.mark.parametrize("size", [3, 300_000], ids=["short", "long"])
def test_no_output_is_lost_and_the_exit_code_is_waited_for(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Engine(HastyEngine):
        output = frame(1, b"o" * size) + frame(2, b"e" * size) + frame(1, b".")

    with Loopback(Engine) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.port}")
        with Rig(tmp_path / "worker") as rig:
            finished = rig.run(task(INSIDE))

            assert rig.log(finished, "stdout") == b"o" * size + b"."
            assert rig.log(finished, "stderr") == b"e" * size
            assert (finished.outcome, finished.exit_code) == ("failed", 3)


class ChattyEngine(HastyEngine):
    """An engine that tells the log of a container piece by piece, and goes on only as long as somebody reads it."""

    tty = False
    log: tuple[bytes, ...] = ()
    read_on = 0
    """How much was asked for beyond the pieces of ``log``."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("/logs"):
            self._tell()
        elif self.path.endswith("/json"):
            self._answer({"State": {"Status": "running", "Running": True}, "Config": {"Tty": self.tty}})
        else:
            self._answer({"ApiVersion": "1.41"})

    def _tell(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"".join(self.log))
        self.close_connection = True
        more = b"chatter\n" * 8192
        with suppress(OSError):
            while self.read_on < 100_000_000:
                self.wfile.write(more if self.tty else frame(1, more))
                type(self).read_on += len(more)


READY = b"booting\nready to serve\n"


@pytest.mark.parametrize(
    ("told", "terminal", "pattern"),
    [
        ((frame(1, READY),), False, r"^\Qready to serve"),
        ((frame(1, b"booting\nready to"), frame(2, b"warning\n"), frame(1, b" serve\n")), False, "^ready to serve$"),
        ((READY.replace(b"\n", b"\r\n"),), True, "^ready to serve$"),
    ],
    ids=["a piece", "several pieces", "a terminal"],
)
def test_a_log_is_read_no_further_than_the_line_that_is_waited_for(
    told: tuple[bytes, ...], terminal: bool, pattern: str, tmp_path: Path
) -> None:
    class Chatty(ChattyEngine):
        tty = terminal
        log = told

    with Loopback(Chatty) as served:
        engine = Engine({"DOCKER_HOST": f"tcp://127.0.0.1:{served.port}"})
        spec = read_spec({"image": "box", "logPattern": pattern}, tmp_path, {})

        engine.start_ready("box", spec, CancelScope())

        engine.close()
    assert Chatty.read_on < 50_000_000
