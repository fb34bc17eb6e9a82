"""How many attempts a worker holds: one number of the metrics that its pod serves."""

import http.client
import io
import math
import socket
import time

from prometheus_client.parser import text_string_to_metric_families

from services.kubernetes.costs import WorkerPod

__all__ = ["GAUGE", "held_attempts"]

GAUGE = "dagway_worker_attempts_held"
_DEADLINE_S = 3.0
_MOST_BYTES = 1024 * 1024


class _Received:
    """What a socket has received, for the parser of the standard library."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def held_attempts(pod: WorkerPod, *, deadline_s: float = _DEADLINE_S) -> int | None:
    """Return how many attempts the worker of a pod holds, or ``None`` if it does not say so in ``deadline_s``."""
    try:
        return _gauge(_page(pod, deadline_s))
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _page(pod: WorkerPod, deadline_s: float) -> str:
    """Return the page of metrics.

    No HTTP client: their time limits begin again with each byte, and a pod that runs steps may be hostile. Here the
    whole exchange ends at the deadline, and after 1 MiB.
    """
    deadline = time.monotonic() + deadline_s
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    request = f"GET /metrics HTTP/1.1\r\nHost: {host}:{pod.port}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    received = bytearray()
    with socket.create_connection((pod.address, pod.port), timeout=deadline_s) as sock:
        sock.sendall(request.encode("ascii"))
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or len(received) > _MOST_BYTES:
                raise TimeoutError
            sock.settimeout(left_s)
            chunk = sock.recv(65536)
            if not chunk:
                break
            received += chunk
    response = http.client.HTTPResponse(_Received(bytes(received)))  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return response.read().decode()


def _gauge(page: str) -> int | None:
    # Only these lines: the parser takes a hundred times as long for the others.
    lines = [line for line in page.splitlines() if line.startswith(GAUGE)]
    for family in text_string_to_metric_families("".join(f"{line}\n" for line in lines)):
        for sample in family.samples:
            if sample.name == GAUGE and math.isfinite(sample.value) and sample.value >= 0:
                return int(sample.value)
    return None
