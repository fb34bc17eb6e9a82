"""Cancel work of an executor that runs in the worker process: a request, a mail, a call of the container engine."""

import socket
import threading
from collections.abc import Callable

from services.worker.output.pipe_copier import write_all

__all__ = ["CancelScope", "Cancelled"]


class Cancelled(Exception):
    """A ``CancelScope`` was cancelled, so the call that uses it must end."""


class CancelScope:
    """Cancels one call of ``Supervisor.call``: shuts down its sockets, calls its closers and refuses its writes.

    Thread-safe. Guarantee: after ``cancel`` returns, ``write`` writes nothing more and no guarded socket transfers
    data.
    """

    def __init__(self) -> None:
        self.expired = False
        """Whether ``expire`` cancelled the scope."""
        self._lock = threading.RLock()
        self._cancelled = False
        self._closers: list[Callable[[], None]] = []

    def guard(self, sock: socket.socket) -> None:
        """Shut ``sock`` down on ``cancel``. If the scope is cancelled already, close ``sock``; raise ``Cancelled``."""
        try:
            # A duplicate: wrapping a socket in TLS detaches the descriptor of the original.
            self.on_cancel(_Shutdown(sock.dup()))
        except Cancelled:
            sock.close()
            raise

    def on_cancel(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` on ``cancel``. If the scope is already cancelled, call it now and raise ``Cancelled``."""
        with self._lock:
            if not self._cancelled:
                self._closers.append(closer)
                return
        closer()
        raise Cancelled

    def check(self) -> None:
        """Raise ``Cancelled`` if the scope is cancelled."""
        with self._lock:
            if self._cancelled:
                raise Cancelled

    def write(self, fd: int, data: bytes) -> None:
        """Write ``data`` to a descriptor of the step, or raise ``Cancelled``.

        Use it instead of ``os.write``, since the descriptor may be closed right after ``cancel``.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled
            write_all(fd, data)

    def expire(self) -> None:
        """Cancel because a timeout of the call itself has passed, such as ``timeout`` of an http step."""
        self.expired = True
        self.cancel()

    def cancel(self) -> None:
        """Shut down the sockets, call the closers and refuse further writes. Safe to call twice."""
        with self._lock:
            self._cancelled = True
            closers, self._closers = self._closers, []
        for closer in closers:
            closer()


class _Shutdown:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __call__(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # The other side has closed the connection.
        finally:
            self._sock.close()
