"""Networks in the notation people use, and whether an address is in one of them."""

import ipaddress
from collections.abc import Collection, Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST = 100
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def parse(texts: Iterable[str]) -> tuple[Network, ...]:
    """CIDR blocks, or single addresses, each once and in their shortest form. Raises ValueError with a sentence for
    people.
    """
    found: dict[Network, None] = {}
    for text in texts:
        try:
            found[network_of(text.strip())] = None
        except ValueError:
            raise ValueError(_why_not(text.strip())) from None
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} networks are allowed")
    return tuple(found)


def network_of(text: str) -> Network:
    """Addresses are judged as `numeric` has them, so IPv4 networks written as IPv6 (::ffff:203.0.113.0/120) are taken
    for what they are. Raises ValueError.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network(
            (int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen)
        )
    return network


def _why_not(text: str) -> str:
    """`10.0.0.7/8` is meant as the network it lies in, but nobody knows whether as the network or as the address."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{text[:80]} is not a network: write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
    return f"{text[:80]} is an address inside a network: write {network} for all of it, or the address alone"


def is_within(address: str | None, networks: Collection[Network]) -> bool:
    """False for what is no address at all."""
    try:
        ip = numeric(address or "")
    except ValueError:
        return False
    return any(ip in network for network in networks)


def numeric(address: str) -> IPAddress:
    """Judges an IPv4 address written as IPv6 (::ffff:10.0.0.1) as IPv4, and ignores a scope (%eth0). Raises
    ValueError.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def neighbourhood(address: str, bits: int = 64) -> str:
    """The network that counts as one client: one IPv6 client has a whole network of that many bits. Text that is no
    address is returned unchanged.
    """
    try:
        ip = numeric(address)
    except ValueError:
        return address
    return str(ip) if ip.version == 4 else str(ipaddress.IPv6Network((ip, bits), strict=False))
