"""Where Redis is (REDIS_URL): `redis://…`, `rediss://…`, `unix://…`, or `redis+sentinel://h1:26379,h2:26379/0?service=…`
(`rediss+sentinel://…`), whose Sentinels know which server is the master.

A URL may hold passwords, so no sentence quotes it.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.connection import parse_url

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
_OF_SENTINEL = "+sentinel"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", re.ASCII)
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_NONSENSE = "has a parameter that makes no sense"
_SECRETS = ("password", "sentinel_password", "ssl_password")


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """`options`: of a connection, as redis-py names them; `kind`: its class. With `sentinels` (host, port), the server
    is the master of `service`, and `of_sentinels` are the options of connections to them.
    """

    kind: type[Any]
    options: dict[str, Any] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    of_sentinels: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_redis(text: str) -> RedisTarget:
    """Raises ValueError: a sentence for people without a subject and without the URL."""
    scheme = text.partition("://")[0]
    if scheme not in SCHEMES:
        raise ValueError(f"must start with {' or '.join(f'{name}://' for name in SCHEMES)}")
    return _watched(text) if scheme.endswith(_OF_SENTINEL) else _single(text)


def passwords_of(text: str) -> list[str]:
    """All that it holds, as they stand there and unquoted, so that they can be left out of what is told."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return []
    found = [value for name, value in parse_qsl(parts.query) if name in _SECRETS]
    return [*([parts.password, unquote(parts.password)] if parts.password else []), *found]


def _single(text: str) -> RedisTarget:
    try:
        parts = urlsplit(text)
        _ = parts.port  # read, and so judged
    except ValueError:
        raise ValueError("is not a URL; an IPv6 address must be in brackets, [::1]") from None
    target = RedisTarget(*_read(text))
    _try(target)
    return target


def _read(url: str) -> tuple[type[Any], dict[str, Any]]:
    """redis-py's own reader → the class of a connection, and its options."""
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError(_NONSENSE) from None
    return options.pop("connection_class", redis.Connection), options


def _watched(text: str) -> RedisTarget:
    scheme, _, rest = text.partition("://")
    address, slash, path = rest.partition("/")
    if not slash:
        address, _, query = rest.partition("?")
        path = f"?{query}"
    user, at, hosts = address.rpartition("@")
    # One host in place of all, which would be taken for one
    kind, options = _read(f"{scheme.removesuffix(_OF_SENTINEL)}://{user}{at}sentinel/{path}")
    del options["host"]
    service = options.pop("service", "")
    if not service:
        raise ValueError("must name the master that the Sentinels watch: …/0?service=mymaster")
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    of_sentinels = {"ssl": True, **tls} if kind is redis.SSLConnection else {}
    for name in ("username", "password"):
        if (value := options.pop(f"sentinel_{name}", None)) is not None:
            of_sentinels[name] = value
    target = RedisTarget(kind, options, _sentinels(hosts), service, of_sentinels)
    _try(target)
    return target


def _sentinels(hosts: str) -> tuple[tuple[str, int], ...]:
    found = [_HOST.fullmatch(host.strip()) for host in hosts.split(",")]
    sentinels = tuple((one[1] or one[2], int(one[3] or SENTINEL_PORT)) for one in found if one)
    if not all(found) or any(port not in range(1, 65536) for _, port in sentinels):
        raise ValueError("must name the Sentinels as host:port, separated by commas")
    return sentinels


def _try(target: RedisTarget) -> None:
    """A connection that is made and not opened refuses what it does not know."""
    for name in _FILES:
        path = target.options.get(name)
        if path is not None and not os.access(path, os.R_OK):
            raise ValueError(f"names a file that cannot be read: {name}")
    pooled = ("max_connections", "timeout")
    try:
        target.kind(**{name: value for name, value in target.options.items() if name not in pooled})
    except (TypeError, ValueError, redis.RedisError) as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        raise ValueError(f"has a parameter that nothing reads: {unknown[1]}" if unknown else _NONSENSE) from None
