"""Which addresses requests that users can choose may connect to (server-side request forgery). Pure."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

__all__ = ["OutboundPolicy", "why_denied"]

OutboundPolicy = Literal["any", "no-metadata", "public"]
"""``any``: every address. ``no-metadata``: none that is link-local or a metadata service of a cloud. ``public``: only
addresses that are reachable on the whole internet.
"""

_METADATA = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS: credentials of pods in EKS
            "fd00:42::42",  # Scaleway
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Those that are not link-local; the metadata address of all other clouds, 169.254.169.254, is."""
_NAT64 = ip_network("64:ff9b::/96")


def why_denied(address: str, policy: OutboundPolicy) -> str:
    """Return why ``policy`` denies an IP address; an empty text if it does not. Anything but an address is denied."""
    if policy == "any":
        return ""
    try:
        parsed = _meant(ip_address(address.partition("%")[0]))
    except ValueError:
        return "not an IP address"
    if parsed.is_link_local:
        return "a link-local address"
    if parsed in _METADATA:
        return "a metadata service"
    if policy == "public" and (not parsed.is_global or parsed.is_multicast):
        return "not a public address"
    return ""


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    # A Teredo address also names a server, which is no destination.
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
