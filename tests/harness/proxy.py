"""A faulty network: a TCP proxy on loopback whose connections can be cut, slowed, stalled, half-opened and mended.

``cut`` resets open connections and refuses new ones. ``stall`` keeps connections open and accepts new
ones, but transfers nothing. ``half_open`` is a stall that the server notices and the clients do not.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
from types import TracebackType
from typing import Self

from tests.harness.eventually import free_port

__all__ = ["Proxy"]

_CHUNK = 65_536
_TURN_S = 0.05


class Proxy:
    """Forward connections made to ``port`` to the server at ``target_port``, both on loopback.

    With ``tls`` clients must speak TLS to the proxy, which passes the plain bytes on.
    """

    def __init__(self, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._target_port = target_port
        self._tls = tls
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._to_server: set[socket.socket] = set()
        self._delay_s = 0.0
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        # Not one of the kernel's choice: while the link is cut, an outgoing connection could take it.
        self.port = free_port()
        self.mend()

    def mend(self) -> None:
        """Transfer data (again). Connections that were cut stay cut; stalled ones deliver the bytes that they held."""
        self._delay_s = 0.0
        self._flowing.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._start(self._accept, self._listener)

    def stall(self) -> None:
        """Transfer nothing in either direction, without any sign of it to the peers."""
        self._flowing.clear()

    def slow(self, delay_s: float) -> None:
        """Hold every piece of data back for ``delay_s`` seconds."""
        self._delay_s = delay_s

    def half_open(self) -> None:
        """Reset the server's end of all connections, and stall the clients' ends: ``mend`` closes those."""
        self.stall()
        with self._lock:
            ends, self._to_server = self._to_server, set()
        for end in ends:
            _reset(end)

    def cut(self) -> None:
        """Reset all open connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A thread may be in accept(): shutdown wakes it, close alone would not.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            links, self._links = self._links, set()
            self._to_server = set()
        for link in links:
            _reset(link)

    def close(self) -> None:
        """Cut all connections, and wait for the proxy's threads."""
        self._closed.set()
        self.cut()
        self._flowing.set()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: object, *args: socket.socket) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=args, daemon=True, name=f"proxy-{self.port}")
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            except OSError:
                _reset(near)
                continue
            far.settimeout(None)
            with self._lock:
                open_still = self._listener is listener
                if open_still:
                    self._links |= {near, far}
                    self._to_server.add(far)
            if not open_still:
                # Cut since it was accepted.
                _reset(near)
                _reset(far)
                return
            self._start(self._pump, near, far)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        if self._tls is not None:
            plain = near
            try:
                near = self._tls.wrap_socket(plain, server_side=True)
            except OSError:
                return self._drop(plain, far)
            with self._lock:
                self._links = self._links - {plain} | {near}
        other = {near: far, far: near}
        with contextlib.suppress(OSError, ValueError):
            while not self._closed.is_set():
                self._flowing.wait()
                readable, _, _ = select.select([near, far], [], [], _TURN_S)
                for link in readable:
                    self._flowing.wait()
                    data = link.recv(_CHUNK)
                    self._flowing.wait()
                    if not data:
                        return self._drop(near, far)
                    # What a TLS socket has decrypted already, ``select`` does not see.
                    while isinstance(link, ssl.SSLSocket) and (waiting := link.pending()):
                        data += link.recv(waiting)
                    self._closed.wait(self._delay_s)
                    other[link].sendall(data)
        self._drop(near, far)
        return None

    def _drop(self, *links: socket.socket) -> None:
        with self._lock:
            self._links -= set(links)
            self._to_server -= set(links)
        for link in links:
            link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reset(link: socket.socket) -> None:
    """Close a socket with a reset (RST), which wakes threads that wait on it."""
    with contextlib.suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
