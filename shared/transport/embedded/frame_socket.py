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
        """Who has it sends, also what other threads add meanwhile: no thread waits for the system call of another."""
        self._unsent: deque[bytes | memoryview] = deque()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._reader.start()

    def send(self, frame: bytes) -> None:
        """Send a frame after those of earlier calls, or keep it until the socket has room. Lost after the end."""
        self._unsent.append(frame)
        self._send_unsent()

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

    def _send_unsent(self) -> None:
        # Looks again after the release: another thread may have added a frame just before it, and left it to this one.
        while self._unsent and self._lock.acquire(blocking=False):
            if not self._send_to_end():
                # The writer thread has the lock now.
                threading.Thread(target=self._write, name=f"{self._name}-writer", daemon=True).start()
                return
            self._lock.release()

    def _send_to_end(self) -> bool:
        """Send all that is unsent; return ``False`` if the socket has no room for the rest."""
        while self._unsent:
            frame = self._unsent[0]
            sent = self._send_some(frame)
            if sent < len(frame):
                self._unsent[0] = memoryview(frame)[sent:]
                return False
            self._unsent.popleft()
        return True

    def _write(self) -> None:
        done = False
        while not done:
            # The socket may be closed by now: then it takes everything.
            with contextlib.suppress(OSError, ValueError):
                room = select.poll()
                room.register(self._sock, select.POLLOUT)
                room.poll()
            done = self._send_to_end()
        self._lock.release()
        self._send_unsent()

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
