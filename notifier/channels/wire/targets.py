"""Which network addresses outbound calls may reach. Called by `wire.http` with the addresses of a host name.

A literal table of all networks that are not the public internet, so that the answer does not change with the Python
version: IANA's special-purpose registries (RFC 6890), multicast, and clouds' metadata services, which give out
credentials.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from notifier.core.networks import IPAddress, Network, numeric

_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this host: Linux connects it to loopback
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata service, though the address itself is public
        "169.254.0.0/16",  # link-local; the metadata service of AWS, Azure, Google
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Leaves out ::, ::1, NAT64 64:ff9b::/32, fc00::/7, fe80::/10, fec0::/10, ff00::/8
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo carries an IPv4 address, ORCHID is no address at all
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",  # documentation
    )
)


class Targets:
    """The public internet, and the networks that the operator allows besides."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self.allowed = tuple(allowed)

    def may_reach(self, address: str, *, is_encrypted: bool) -> bool:
        """`address` is numeric. Without encryption only the allowed networks may be reached."""
        ip = numeric(address)
        if any(ip in network for network in self.allowed):
            return True
        return is_encrypted and is_public(ip)

    def may_be_meant(self, url: str) -> bool:
        """Whether the URL could be reachable, without looking its host up: False when no look-up could make it so."""
        parts = urlsplit(url)
        is_encrypted = parts.scheme == "https"
        try:
            return self.may_reach(parts.hostname or "", is_encrypted=is_encrypted)
        except ValueError:  # a name: it may resolve to anything
            return is_encrypted or bool(self.allowed)


def is_public(ip: IPAddress) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_V4)
    return ip in _PUBLIC_V6 and not any(ip in network for network in _NOT_PUBLIC_V6)
