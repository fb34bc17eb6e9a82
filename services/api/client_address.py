"""The IP address of a client, also behind proxies."""

from ipaddress import ip_address

__all__ = ["client_address"]


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
