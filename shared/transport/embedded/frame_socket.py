"""One end of a stream socket that carries frames. A send never blocks."""

import contextlib
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

from shared.transport.embedded.frames import Frame, FrameReader

__all__ = ["FrameSocket"]

_log = logging.getLogger(__name__)
_RECEIVE_BYTES = 262_144
_BUFFER_BYTES = 1 << 20
"""The socket's buffer for sending, so that a log chunk rarely needs the writer thread. The kernel may grant less."""


class FrameSocket:
    """Sends frames, and calls ``on_frame`` with each received frame, on the reader thread.

    ``on_end`` is called once, on the same thread, when the other end has closed. ``name`` is that of the threads.
    """

    def __init__(
        self, sock: socket.socket, name: str, on_frame: Callable[[Frame], None], on_end: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._name = name
        self._on_frame = on_frame
        self._on_end = on_end
        self._lock = threading.Lock()
        self._unsent: deque[memoryview] = deque()
        """What the socket had no room for. While it is not empty, the writer thread runs."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._reader.start()

    def send(self, frame: bytes) -> None:
        """Send a frame after those of earlier calls, or keep it until the socket has room. Lost after the end."""
        with self._lock:
            if self._unsent:
                self._unsent.append(memoryview(frame))
                return
            sent = self._send_some(frame)
            if sent < len(frame):
                self._unsent.append(memoryview(frame)[sent:])
                threading.Thread(target=self._write, name=f"{self._name}-writer", daemon=True).start()

    def close(self) -> None:
        """Close this end. The other end, and this one's reader, then see the end of the stream."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._reader.ident is not None and self._reader is not threading.current_thread():
            self._reader.join()
        with self._lock:
            self._sock.close()

    def _send_some(self, data: "bytes | memoryview") -> int:
        """Return how many bytes the socket took. A socket that has ended takes everything."""
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _write(self) -> None:
        while True:
            # The socket may be closed by now: then it takes everything.
            with contextlib.suppress(OSError, ValueError):
                room = select.poll()
                room.register(self._sock, select.POLLOUT)
                room.poll()
            with self._lock:
                while self._unsent:
                    sent = self._send_some(self._unsent[0])
                    if sent < len(self._unsent[0]):
                        self._unsent[0] = self._unsent[0][sent:]
                        break
                    self._unsent.popleft()
                if not self._unsent:
                    return

    def _read(self) -> None:
        frames = FrameReader()
        try:
            while data := self._sock.recv(_RECEIVE_BYTES):
                for frame in frames.feed(data):
                    self._on_frame(frame)
        except OSError as error:
            _log.debug("frames.stream_broken", extra={"error": str(error)})
        except Exception:  # noqa: BLE001 - logged
            # A frame that cannot be handled: nothing that follows can be trusted.
            _log.exception("frames.failed", extra={"socket": self._name, "next": "report this"})
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._on_end()
