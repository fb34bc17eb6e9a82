"""pika's event loop, which can also send what was written at once and in one packet.

pika writes a message as three frames, each by a system call of its own, and only when its loop has found the socket
writable. ``send_now`` calls the writers without waiting for that, and the kernel joins the frames. Only public methods
of ``IOLoop`` are used: a handler may be called at any time, because pika's sockets never block.
"""

import contextlib
import socket
from collections.abc import Callable

from pika.adapters.select_connection import IOLoop

Handler = Callable[[int, int], None]

__all__ = ["PacketLoop"]

_CORK = getattr(socket, "TCP_CORK", None)
"""Linux only: the kernel holds back what is not a full packet until the option is off again."""


class PacketLoop(IOLoop):  # type: ignore[misc]
    """See the module. All methods but ``add_callback_threadsafe`` are for the loop's thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._watched: dict[int, _Watched] = {}

    def add_handler(self, fd: int, handler: "Handler", events: int) -> None:
        self._watched[fd] = _Watched(fd, handler, events)
        super().add_handler(fd, handler, events)

    def update_handler(self, fd: int, events: int) -> None:
        self._watched[fd].events = events
        super().update_handler(fd, events)

    def remove_handler(self, fd: int) -> None:
        self._watched.pop(fd).release()
        super().remove_handler(fd)

    def send_now(self) -> None:
        """Send what was written, as much as the kernel takes; the rest goes when the socket is writable."""
        for watched in list(self._watched.values()):
            if watched.events & self.WRITE:
                watched.cork(on=True)
                watched.handler(watched.fd, self.WRITE)
                watched.cork(on=False)

    def shut_down(self) -> None:
        """End all streams: pika reads their end, closes their sockets and reports the loss."""
        for watched in self._watched.values():
            # Not connected yet, or not any more.
            with contextlib.suppress(OSError):
                watched.socket.shutdown(socket.SHUT_RDWR)


class _Watched:
    """A file descriptor that pika watches, the events it waits for, and a socket object to set options with."""

    def __init__(self, fd: int, handler: Handler, events: int) -> None:
        self.fd, self.handler, self.events = fd, handler, events
        self.socket = socket.socket(fileno=fd)

    def cork(self, *, on: bool) -> None:
        if _CORK is not None and self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.IPPROTO_TCP, _CORK, on)

    def release(self) -> None:
        """Leave the descriptor to pika, whose it is."""
        self.socket.detach()
