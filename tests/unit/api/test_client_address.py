"""The address of a client behind proxies."""

import pytest

from services.api.requests.client_address import client_address

PEER = "192.0.2.9"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("", 0, PEER),
        ("", 1, PEER),
        ("203.0.113.9", 0, PEER),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("forged, 203.0.113.9", 1, "203.0.113.9"),
        ("forged, 203.0.113.9, 10.0.0.1", 2, "203.0.113.9"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("203.0.113.9", 2, PEER),
        ("forged,", 1, PEER),
        ("unknown", 1, PEER),
    ],
)
def test_only_trusted_proxies_name_the_client(forwarded: str, proxies: int, address: str) -> None:
    assert client_address(PEER, forwarded, proxies) == address
