"""Lists of the networks and hosts that people's webhooks may lead to, and whether a target is on them.

The installation has one list, each producer another; where both have one, both have to name a target. A list only takes
away: a private network has to be allowed besides (`channels.wire.targets`). Looks nothing up.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace

import idna

from notifier.core import networks
from notifier.core.networks import IPAddress, Network
from notifier.ground.languages import N_

INSTALLATION, PRODUCER = "installation", "producer"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NETWORK = re.compile(r"[0-9a-fA-F:.]+/[0-9]+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*")
_NUMERIC = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")


@dataclass(frozen=True, slots=True)
class TargetList:
    """`whose`: INSTALLATION or PRODUCER. `suffixes` begin with a dot: `*.example.com` stands for all below it, and not
    for `example.com` itself. A list without entries leaves everything out.
    """

    whose: str
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, whose: str, texts: Iterable[str]) -> "TargetList":
        """`203.0.113.0/24`, `hooks.example.com`, `*.example.com`. Raises ValueError with a sentence for people."""
        blocks, hosts, suffixes = list[str](), set[str](), dict[str, None]()
        for text in (text.strip() for text in texts):
            bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            if _NETWORK.fullmatch(bare) or _NUMERIC.fullmatch(bare.lower()):
                blocks.append(bare)
            elif bare.startswith("*."):
                suffixes[f".{_listed(bare[2:], text)}"] = None
            else:
                hosts.add(_listed(bare, text))
        if len(hosts) + len(suffixes) > networks.MOST:
            raise ValueError(f"at most {networks.MOST} hosts are allowed")
        return cls(whose, networks.parse(blocks), frozenset(hosts), tuple(suffixes))

    def entries(self) -> list[str]:
        """As they are stored and shown."""
        return [*map(str, self.networks), *sorted(self.hosts), *(f"*{suffix}" for suffix in sorted(self.suffixes))]

    def besides(self, services: tuple[str, ...]) -> "TargetList":
        """With hosts that no list leaves out, as `parse` takes them."""
        more = TargetList.parse(self.whose, services)
        return replace(self, hosts=self.hosts | more.hosts, suffixes=self.suffixes + more.suffixes)

    def names(self, host: str) -> bool:
        """Whether it names the host itself. `host`: as `canonical` makes it."""
        return host in self.hosts or host.endswith(self.suffixes)

    def holds(self, address: IPAddress) -> bool:
        return any(address in network for network in self.networks)


Lists = tuple[TargetList, ...]


def leaves_out(lists: Lists, host: str) -> str | None:
    """Whose list leaves a host out for certain; None: none does, or it depends on the addresses the name leads to."""
    if not lists:
        return None
    address, name = numeric(host), canonical(host)
    for one in lists:
        if address is not None and not one.holds(address):
            return one.whose
        if address is None and not one.names(name) and not one.networks:
            return one.whose
    return None


def refuses(lists: Lists, host: str, address: str) -> str | None:
    """Whose list leaves out a host at the address to which a connection is about to be made."""
    name, ip = canonical(host), networks.numeric(address)
    return next((one.whose for one in lists if not one.names(name) and not one.holds(ip)), None)


def canonical(host: str) -> str:
    """A host name as it is compared: in ASCII and small letters, without the dot of the root. Text that is no name is
    in no list.
    """
    text = host.strip("[]").rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True, transitional=False).decode()
    except idna.IDNAError:
        return text


def numeric(host: str) -> IPAddress | None:
    """The address that a host is, in each of the spellings in which resolvers take one (`2130706433`, `0x7f.1`)."""
    text = host.strip("[]").lower()
    try:
        return networks.numeric(text)
    except ValueError:
        pass
    text = text.removesuffix(".")
    if not _NUMERIC.fullmatch(text):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def sentence(whose: str) -> str:
    """Why an address is not called, for people."""
    return {
        INSTALLATION: N_("This is not on the installation's list of webhook targets (WEBHOOK_TARGETS)."),
        PRODUCER: N_("This is not on the producer's list of webhook targets."),
    }[whose]


def _listed(name: str, text: str) -> str:
    found = canonical(name)
    if len(found) > 253 or not all(map(_LABEL.fullmatch, found.split("."))):
        raise ValueError(
            f"this is no target: {text[:80]}; write hooks.example.com, *.example.com or 203.0.113.0/24, "
            "without scheme, port or path"
        )
    return found
