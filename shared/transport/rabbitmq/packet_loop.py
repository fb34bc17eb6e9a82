"""pika's event loop, extended to send written frames immediately and in one packet.

pika writes a message as three frames, with one system call for each, and only when its loop finds the socket writable.
``send_now`` calls pika's write handlers without waiting for the loop, and the kernel joins the frames into one packet.
The loop also tells its owner when a socket was readable, so nobody has to look every few seconds.
Only public methods of ``IOLoop`` are used. A handler may be called at any time, because pika's sockets never block.
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
    """The event loop that the module describes. Other threads may call ``add_callback_threadsafe`` only.

    ``on_read()`` is called after pika has read from a socket.
    """

    def __init__(self, on_read: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_read = on_read
        self._watched: dict[int, _Watched] = {}

    def add_handler(self, fd: int, handler: "Handler", events: int) -> None:
        def handle(ready_fd: int, ready: int) -> None:
            handler(ready_fd, ready)
            if ready & self.READ:
                self._on_read()

        self._watched[fd] = _Watched(fd, handler, events)
        super().add_handler(fd, handle, events)

    def update_handler(self, fd: int, events: int) -> None:
        self._watched[fd].events = events
        super().update_handler(fd, events)

    def remove_handler(self, fd: int) -> None:
        self._watched.pop(fd).release()
        super().remove_handler(fd)

    def send_now(self) -> None:
        """Send the written frames, as far as the kernel accepts them. The loop sends the rest."""
        for watched in list(self._watched.values()):
            if watched.events & self.WRITE:
                watched.cork(on=True)
                watched.handler(watched.fd, self.WRITE)
                watched.cork(on=False)

    def shut_down(self) -> None:
        """Shut down all sockets. pika then reads the end of the stream, closes its socket and reports the loss."""
        for watched in self._watched.values():
            # The socket may be not connected yet, or closed already.
            with contextlib.suppress(OSError):
                watched.socket.shutdown(socket.SHUT_RDWR)


class _Watched:
    """A file descriptor that pika watches, the events that pika waits for, and a socket object to set options."""

    def __init__(self, fd: int, handler: Handler, events: int) -> None:
        self.fd, self.handler, self.events = fd, handler, events
        self.socket = socket.socket(fileno=fd)

    def cork(self, *, on: bool) -> None:
        if _CORK is not None and self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.IPPROTO_TCP, _CORK, on)

    def release(self) -> None:
        """Detach the socket object without closing the descriptor, which belongs to pika."""
        self.socket.detach()
