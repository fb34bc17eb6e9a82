"""HTTP connections that obey an ``OutboundPolicy``, also after redirects and whatever a name resolves to."""

import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Retry

from shared.errors import InvalidInput
from shared.outbound import OutboundPolicy, why_denied

__all__ = ["ClosingRetry", "OutboundDenied", "outbound_pool"]


class OutboundDenied(InvalidInput):
    """The policy denies the address that a request would go to. Nothing was sent."""


class ClosingRetry(Retry):
    """Closes a response before the next try. The library would read its body, which may have no end, into memory."""

    def increment(self, *args: Any, **named: Any) -> "ClosingRetry":
        following = super().increment(*args, **named)
        if (response := named.get("response")) is not None:
            response.close()
        return following


class _FinalResponse(HTTPResponse):
    """Passes over interim responses, such as 103 (Early Hints). The library does so with 100 (Continue) only."""

    def begin(self) -> None:
        super().begin()
        while 101 < self.status < 200:
            # As before the first response: without this it would not begin again.
            self.headers = None  # type: ignore[assignment]
            super().begin()


def outbound_pool(
    policy: OutboundPolicy, *, connected: Callable[[socket.socket], object] = lambda _socket: None, **options: Any
) -> urllib3.PoolManager:
    """Return an HTTP client whose connections obey ``policy``; requests raise ``OutboundDenied``.

    ``connected`` is called with the socket of each new connection. Ignores proxy settings and ``~/.netrc``.
    ``options`` are those of ``urllib3.PoolManager``.
    """

    class Checked:
        response_class: type[HTTPResponse] = _FinalResponse

        def _new_conn(self) -> Any:
            host: str = self.host  # type: ignore[attr-defined]
            _refuse_name(host, policy)
            sock = super()._new_conn()  # type: ignore[misc]
            _refuse_peer(sock, host, policy)
            connected(sock)
            return sock

    class Plain(Checked, HTTPConnection):
        pass

    class Secure(Checked, HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            # Silences the library's warning: a connection is unverified only if the caller asks for that.
            self.is_verified = True

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pool


def _refuse_name(host: str, policy: OutboundPolicy) -> None:
    """Refuse a host if one of its addresses is denied, so that nothing is even connected to it."""
    if policy == "any":
        return
    # If the name cannot be resolved, the library says so with its own error.
    with suppress(OSError, UnicodeError):
        for _family, _kind, _protocol, _name, address in socket.getaddrinfo(host.strip("[]"), None):
            _refuse(str(address[0]), host, policy)


def _refuse_peer(sock: socket.socket, host: str, policy: OutboundPolicy) -> None:
    """Refuse the address that is connected: the name may have resolved to another one than before."""
    if policy == "any":
        return
    try:
        _refuse(str(sock.getpeername()[0]), host, policy)
    except BaseException:
        sock.close()
        raise


def _refuse(address: str, host: str, policy: OutboundPolicy) -> None:
    if why := why_denied(address, policy):
        shown = address if address == host.strip("[]") else f"{host[:100]} ({address})"
        raise OutboundDenied(f"connecting to {shown} is denied: it is {why} (DAGWAY_OUTBOUND={policy})")
