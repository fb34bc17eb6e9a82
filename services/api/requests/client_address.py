"""How a request came here, also behind proxies: from which IP address, and whether by TLS."""

from ipaddress import ip_address

from flask import Request

__all__ = ["address_of", "client_address", "sent_by_tls"]


def address_of(request: Request, proxies: int) -> str:
    """Return the ``client_address`` of a request."""
    return client_address(request.remote_addr or "", request.environ.get("HTTP_X_FORWARDED_FOR", ""), proxies)


def sent_by_tls(request: Request) -> bool:
    """Return whether the client sent the request by TLS, here or to a proxy."""
    return request.is_secure or request.environ.get("HTTP_X_FORWARDED_PROTO") == "https"


def client_address(peer: str, forwarded_for: str, proxies: int) -> str:
    """Return the address of the client that is ``proxies`` trusted proxies away.

    Each proxy appends the address that it was called from to ``X-Forwarded-For``. What stands before the entries of our
    own proxies is the client's own claim and is ignored. With fewer entries than proxies, or without an address in that
    place, it is ``peer``, the address of the connection.
    """
    hops = forwarded_for.split(",") if forwarded_for else []
    try:
        return str(ip_address(hops[-proxies].strip())) if 0 < proxies <= len(hops) else peer
    except ValueError:
        return peer
