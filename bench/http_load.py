"""HTTP load from a process of its own, over raw sockets, so that the client costs little.

``paced`` is an open loop: requests are due at fixed times, and latency counts from the due time. ``flat_out`` is a
closed loop, by ``wrk`` if it is installed.
"""

import json
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Measured", "flat_out", "paced"]

_HOST = "127.0.0.1"
_PATIENCE_S = 30.0
_REPORT = """
done = function(s, l, r)
  io.write(string.format("%d %d %d %d\\n", s.requests, l:percentile(50), l:percentile(99), l.max))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies in milliseconds, and the rate in answers per second. ``by``: the client."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    rate: float
    by: str


def paced(port: int, paths: Sequence[str], *, rate: float, seconds: float) -> Measured:
    """GET these paths in turn, at ``rate`` per second. Any answer but 200 is an error."""
    return _child({"port": port, "method": "GET", "paths": list(paths), "rate": rate, "seconds": seconds})


def flat_out(port: int, method: str, path: str, *, connections: int, seconds: float) -> Measured:
    """Send requests over ``connections``, each as soon as the previous one is answered."""
    if shutil.which("wrk") is None:
        print("  (wrk is not installed: using the built-in client, which takes more processor time)")
        return _child({"port": port, "method": method, "paths": [path], "loops": connections, "seconds": seconds})
    script = f'wrk.method = "{method}"\n' + _REPORT
    url = f"http://{_HOST}:{port}{path}"
    # In a file, because wrk reads it more than once.
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", file.name, url]
        output = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    if re.search(r"Non-2xx|Socket errors", output):
        raise RuntimeError(f"{method} {path}: {output}")
    requests, p50, p99, worst = (int(word) for word in output.splitlines()[-1].split())
    return Measured(p50 / 1000, p99 / 1000, worst / 1000, requests / seconds, "wrk")


def _child(order: dict[str, object]) -> Measured:
    argv = [sys.executable, "-m", "bench.http_load", json.dumps(order)]
    took = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    took.sort()
    rate = len(took) / float(str(order["seconds"]))
    return Measured(took[len(took) // 2], took[int(len(took) * 0.99)], took[-1], rate, "own client")


class _Connection:
    """A connection with one request at a time. ``due``: when the present request should have been sent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((_HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._parts = bytearray()
        self._whole = -1

    def send(self, method: str, path: str, due: float) -> None:
        self.due, self._whole = due, -1
        self._parts.clear()
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n".encode())

    def receive(self) -> bool:
        """Read what has arrived; return whether the answer is complete."""
        self._parts += self.socket.recv(1 << 20)
        if self._whole < 0 and (head := self._parts.find(b"\r\n\r\n")) >= 0:
            if not self._parts.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(self._parts.decode())
            length = re.search(rb"(?i)content-length: (\d+)", self._parts[:head])
            self._whole = head + 4 + int(length[1] if length else 0)
        return 0 <= self._whole <= len(self._parts)


def _run(order: dict[str, object]) -> list[float]:
    port, method, seconds = int(str(order["port"])), str(order["method"]), float(str(order["seconds"]))
    paths = [str(path) for path in order["paths"]]  # type: ignore[attr-defined]
    selector = selectors.DefaultSelector()
    idle: list[_Connection] = []
    took: list[float] = []
    began = time.perf_counter()
    loops, rate = int(str(order.get("loops", 0))), float(str(order.get("rate", 0)))
    wanted = int(rate * seconds)
    sent = 0

    def send(due: float) -> None:
        nonlocal sent
        if idle:
            connection = idle.pop()
        else:
            connection = _Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(method, paths[sent % len(paths)], due)
        sent += 1

    def due_at() -> float:
        return began + sent / rate if rate and sent < wanted else float("inf")

    for _ in range(loops):
        send(time.perf_counter())
    while len(took) < wanted or loops:
        now = time.perf_counter()
        if now - began > seconds + (_PATIENCE_S if rate else 0):
            break
        while due_at() <= now:
            send(due_at())
        for key, _events in selector.select(max(0.0, min(due_at() - time.perf_counter(), 1.0))):
            connection: _Connection = key.data
            if connection.receive():
                took.append((time.perf_counter() - connection.due) * 1000)
                idle.append(connection)
                if loops:
                    send(time.perf_counter())
    return took


if __name__ == "__main__":
    print(json.dumps(_run(json.loads(sys.argv[1]))))
