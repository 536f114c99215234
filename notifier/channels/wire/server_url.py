"""The URL of a server as fields: host, port, user, password and encryption. Pure.

A `Setting` declares that it is one (`server`); forms are made from that, and the URL is what is stored.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class ServerParts:
    """`port`: as it is written, empty for that of the scheme."""

    scheme: str
    host: str
    port: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """`schemes`: scheme → what it means, in words for people; the first is the usual one."""

    schemes: Mapping[str, str]

    def split(self, url: str) -> ServerParts | None:
        """None: it is no URL of these schemes, or holds more than its fields can."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in self.schemes or not parts.hostname or parts.path.strip("/"):
            return None
        if parts.query or parts.fragment:
            return None
        words = (parts.hostname, str(port or ""), unquote(parts.username or ""), unquote(parts.password or ""))
        return ServerParts(parts.scheme, *words)

    def join(self, parts: ServerParts) -> str:
        """Raises ValueError with a sentence: for a host or port that is none, or a password without a user."""
        host = parts.host.strip().strip("[]")
        if not _is_host(host):
            raise ValueError("The host is a name or an address, such as mail.example.com.")
        if parts.port and not (parts.port.isascii() and parts.port.isdecimal() and 0 < int(parts.port) < 65_536):
            raise ValueError("The port is a number from 1 to 65535.")
        if parts.password and not parts.user:
            raise ValueError("A password needs a user.")
        secret = f":{quote(parts.password, safe='')}" if parts.password else ""
        login = f"{quote(parts.user, safe='')}{secret}@" if parts.user else ""
        shown = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{login}{shown}{f':{parts.port}' if parts.port else ''}"


def _is_host(text: str) -> bool:
    """A colon stands in an address of IPv6 only: `mail.example.com:587` is a host and a port."""
    if ":" in text:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            return False
    return text != "" and text.isprintable() and not any(mark in text for mark in "/@?#%\\ ")
