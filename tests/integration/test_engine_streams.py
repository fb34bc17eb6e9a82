"""The output and the exit code of a command in a container, as an engine on a busy machine gives them."""

import json
import struct
import threading
from pathlib import Path

import pytest

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
