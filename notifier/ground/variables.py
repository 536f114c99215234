"""Environment variables as typed values. A value that does not fit becomes a fault in words, and reading goes on.

`ground.config` says which settings there are; this module knows none of them by name.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import limits

from notifier.core.networks import network_of
from notifier.ground.secret_commands import printed_by

MOST_WHOLE = 1_000_000

type_network = ipaddress.IPv4Network | ipaddress.IPv6Network


def given(environ: Mapping[str, str], name: str) -> str | None:
    """A variable's value, or the content of the file that `NAME_FILE` names (which may be empty); None: neither is set.

    Raises ValueError with a sentence for people when the file cannot be read.
    """
    path = environ.get(f"{name}_FILE")
    if environ.get(name) or not path:
        return environ.get(name) or None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ValueError(f"{name}_FILE cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}_FILE cannot be read: it is not UTF-8") from None


def split_url(text: str) -> SplitResult | None:
    """None for what is no URL: its host and port cannot be told."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # read, and so judged
    except ValueError:
        return None
    return parts


def bare_environment() -> dict[str, str]:
    """The environment that a child process needs to run at all, without any setting or secret of ours."""
    return {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV")
        if name in os.environ
    }


class Variables:
    """Each method reads one variable. `faults`: a sentence for each that does not make sense, without its value where
    that may be a secret. Without `environ`, the process's own environment.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.faults: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name) or default

    def secret(self, name: str) -> str | None:
        """A file that is named and empty was meant to hold something: without it, DATABASE_URL would be another one,
        and METRICS_TOKEN none.
        """
        try:
            text = given(self.environ, name)
        except ValueError as error:
            self.faults.append(str(error))
            return None
        if text == "":
            self.faults.append(f"{name}_FILE names a file that is empty")
        return text or None

    def key(self, name: str) -> str | None:
        """A secret that `NAME_COMMAND` may print, too, if nothing else gives it."""
        text, command = self.secret(name), self.environ.get(f"{name}_COMMAND")
        if text or not command:
            return text
        try:
            return printed_by(command, self.environ)
        except ValueError as error:
            self.faults.append(f"{name}_COMMAND {error}")
            return None

    def port(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or not 0 < int(text) < 65536:
            self.faults.append(f"{name} must be a port number")
            return default
        return int(text)

    def is_on(self, name: str, default: str) -> bool:
        text = self.text(name, default)
        if text not in ("on", "off"):
            self.faults.append(f"{name} must be on or off")
        return text == "on"

    def count(self, name: str) -> int:
        text = self.text(name, "0")
        if not text.isdecimal() or int(text) > 9:
            self.faults.append(f"{name} must be a number from 0 to 9")
            return 0
        return int(text)

    def whole(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdecimal()) or int(text) > MOST_WHOLE:
            self.faults.append(f"{name} must be a whole number, at most {MOST_WHOLE}")
            return default
        return int(text)

    def url(self, name: str, text: str, schemes: tuple[str, ...]) -> str:
        scheme = text.partition("://")[0]
        if scheme not in schemes:
            self.faults.append(f"{name} must start with {' or '.join(f'{s}://' for s in schemes)}")
        elif split_url(text) is None:
            self.faults.append(f"{name} is not a URL; an IPv6 address must be in brackets, [::1]")
        return text

    def networks(self, name: str) -> tuple[type_network, ...]:
        networks = []
        for entry in filter(None, (part.strip() for part in self.text(name, "").split(","))):
            try:
                networks.append(network_of(entry))
            except ValueError:
                self.faults.append(f"{name}: {entry} is not a network in CIDR form")
        return tuple(networks)

    def rate(self, name: str, default: str) -> str:
        text = self.text(name, default)
        try:
            limits.parse(text)
        except ValueError:
            self.faults.append(f"{name} must be like {default}")
        return text
