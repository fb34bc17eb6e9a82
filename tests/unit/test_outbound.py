"""Which addresses the policies for outgoing requests deny."""

import pytest

from shared.outbound import OutboundPolicy, why_denied

LINK_LOCAL = (
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%e0",
    "::ffff:169.254.169.254",
    "2002:a9fe:a9fe::1",
)
METADATA = (
    *("fd00:ec2::254", "fd00:ec2::23", "fd00:42::42", "fd20:ce::254"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "64:ff9b::a9fe:a9fe"),
)
PRIVATE = (
    *("127.0.0.1", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255"),
)
PUBLIC = ("93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822")


@pytest.mark.parametrize(
    ("policy", "denied"),
    [("any", ()), ("no-metadata", LINK_LOCAL + METADATA), ("public", LINK_LOCAL + METADATA + PRIVATE)],
)
def test_each_policy_denies_its_addresses(policy: OutboundPolicy, denied: tuple[str, ...]) -> None:
    everything = LINK_LOCAL + METADATA + PRIVATE + PUBLIC

    assert [each for each in everything if why_denied(each, policy)] == list(denied)


def test_what_is_no_address_is_denied() -> None:
    assert why_denied("localhost", "no-metadata") == "not an IP address"
