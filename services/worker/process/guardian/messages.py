"""The messages between a worker, its guardian and the spawners: a marshalled dict after its length, on a stream socket.

Both ends are the same interpreter. A request to start a process carries descriptors, as ancillary data of the length.
"""

import array
import marshal
import os
import socket
import struct
from typing import Any

__all__ = ["LENGTH", "packed", "receive"]

LENGTH = struct.Struct(">I")
_MOST_FDS = 3


def packed(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    body = marshal.dumps(message)
    return LENGTH.pack(len(body)) + body


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, or ``None`` if the other end has closed. Waits for all of it."""
    head, fds = _receive_length(sock)
    body = _receive_bytes(sock, *LENGTH.unpack(head)) if head else None
    return None if body is None else (marshal.loads(body), fds)  # noqa: S302 - only a worker and its guardian send it


def _receive_length(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    close_on_exec = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    head = b""
    while len(head) < LENGTH.size:
        part, ancillary, _, _ = sock.recvmsg(
            LENGTH.size - len(head), socket.CMSG_SPACE(_MOST_FDS * fds.itemsize), close_on_exec
        )
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        if not part:
            return b"", []
        head += part
    for fd in fds:
        os.set_inheritable(fd, False)
    return head, list(fds)


def _receive_bytes(sock: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
