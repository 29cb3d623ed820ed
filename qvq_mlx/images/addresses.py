"""Tell internet addresses from private ones, and resolve a name.

Law: what is not surely public is not, an IPv4 address wrapped in an IPv6 one included.
"""

from __future__ import annotations

import ipaddress
import socket

# Public by number, and yet no host of the internet: IETF assignments, carrier-grade NAT, relays
# and sinks of the DNS (6to4, AS112), documentation, and where a cloud keeps its machines' secrets.
# Source: IANA's registries of special-purpose addresses; Python's own list is older.
_INNER = tuple(
    ipaddress.ip_network(net)
    for net in (
        "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24",
        "100.64.0.0/10", "168.63.129.16/32",
        "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "100:0:0:1::/64",
    )
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """True if `address` is a host of the internet and nobody's own network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    if any(ip in net for net in _INNER):
        return False
    return ip.is_global and not (
        ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local or ip.is_unspecified
    )


def resolved(host: str, port: int) -> tuple[str, ...]:
    """The system's answer, each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
