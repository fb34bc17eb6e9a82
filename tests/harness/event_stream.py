"""A reader of event streams that reconnects as browsers do: from the last id, possibly at another gateway."""

import threading
from collections.abc import Sequence
from itertools import cycle
from types import TracebackType
from typing import Self

import urllib3

__all__ = ["EventReader"]

_TIMEOUT = urllib3.Timeout(connect=2, read=30)


class EventReader:
    """Reads the event stream at ``path`` on a thread. ``ids`` are the ids of the received events, in order."""

    def __init__(self, ports: Sequence[int], path: str, last_id: str = "") -> None:
        self.ids: list[str] = []
        self.served_by: list[int] = []
        """The port of each connection that was answered."""
        self._turns = cycle(ports)
        self._path = path
        self._last_id = last_id
        self._stopped = threading.Event()
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._http.clear()
        self._thread.join(35)

    @property
    def over(self) -> bool:
        """Whether the server has said that the stream is complete."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            port = next(self._turns)
            try:
                if self._follow(port):
                    return
            except urllib3.exceptions.HTTPError:
                self._stopped.wait(0.05)

    def _follow(self, port: int) -> bool:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        url = f"http://127.0.0.1:{port}/api/v2{self._path}"
        answer = self._http.request("GET", url, headers=headers, preload_content=False)
        try:
            if answer.status == 204:
                return True
            if answer.status != 200:
                self._stopped.wait(0.05)
                return False
            self.served_by.append(port)
            buffer = b""
            while not self._stopped.is_set() and (part := answer.read1()):
                *events, buffer = (buffer + part).split(b"\n\n")
                for event in events:
                    self._take(event.decode())
        finally:
            answer.close()
        return False

    def _take(self, event: str) -> None:
        fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        self._last_id = fields.get("id", self._last_id)
        if "data" in fields:
            self.ids.append(fields["id"])
