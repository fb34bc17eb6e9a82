"""Options of sockets that only some systems have."""

import socket

__all__ = ["give_up_stalled"]


def give_up_stalled(sock: socket.socket, after_s: float) -> bool:
    """Let the kernel close a connection if data that waits for the other side is not received for ``after_s``.

    Connections inherit this from a socket that listens. Returns ``False`` if this system has no such option (tcp(7)).
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return False
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))
    return True
