"""What a gateway says to a client that speaks TLS to it. A gateway speaks HTTP; a proxy in front of it may add TLS."""

__all__ = ["ADVICE", "begins_tls"]

ADVICE = "This port speaks HTTP without TLS: use http://"
"""A client that waits for a TLS handshake takes any answer for the end of it, and fails at once."""
_HANDSHAKE = b"\x16"


def begins_tls(data: bytes) -> bool:
    """Return whether the first bytes of a connection are those of a TLS handshake. No HTTP request begins so."""
    return data[:1] == _HANDSHAKE
