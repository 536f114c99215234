"""Where events are sent (EVENTS_SINK): `kafka://host[:port][,host2]/topic`, `https://…` or `http://…`. `bus_urls`
reads topics that events come from by the same rules.

A URL may hold a password, and its path or query a token. So what goes into a log is `shown`, made of the rest.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_KAFKA_PORT = 9092
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """`brokers`: `host:port`, to begin with. With credentials always by TLS; `mechanism` of SASL."""

    brokers: tuple[str, ...]
    topic: str
    has_tls: bool
    credentials: Credentials | None = None
    mechanism: str = MECHANISMS[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(broker.rpartition(":")[0] for broker in self.brokers)

    @property
    def shown(self) -> str:
        return f"kafka://{','.join(self.brokers)}/{self.topic}"


@dataclass(frozen=True, slots=True)
class HttpSink:
    """`url` is without the credentials."""

    url: str = field(repr=False)
    credentials: Credentials | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        return (urlsplit(self.url).hostname or "",)

    @property
    def shown(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


SinkTarget = KafkaTopic | HttpSink


def parse_sink(text: str) -> SinkTarget:
    """Raises ValueError: a sentence for people without a subject and without the URL, which may hold secrets."""
    scheme = text.partition("://")[0]
    if scheme not in ("kafka", "https", "http"):
        raise ValueError("must start with kafka://, https:// or http://")
    return parse_kafka(text)[0] if scheme == "kafka" else _http(text)


def _http(text: str) -> HttpSink:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL; an IPv6 address must be in brackets, [::1]") from None
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must name a host, in ASCII and without spaces; other characters are written as %XX")
    netloc = f"[{host}]" if ":" in host else host
    bare = parts._replace(netloc=netloc if port is None else f"{netloc}:{port}", fragment="")
    return HttpSink(bare.geturl(), credentials_of(parts))


def parse_kafka(text: str, more: frozenset[str] = frozenset()) -> tuple[KafkaTopic, dict[str, str]]:
    """A topic of a cluster, and the options of `more` that follow it. Raises ValueError as `parse_sink`."""
    # urlsplit takes the port of the last broker for that of all
    address, _, rest = text.removeprefix("kafka://").partition("/")
    user, at, brokers = address.rpartition("@")
    found = [_BROKER.fullmatch(broker.strip()) for broker in brokers.split(",")]
    if not all(found) or any(int(broker[2] or _KAFKA_PORT) not in range(1, 65536) for broker in found if broker):
        raise ValueError("must name its brokers as host:port, separated by commas")
    topic, _, query = rest.partition("?")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise ValueError("must name a topic, kafka://host:port/topic")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"tls", "mechanism"} - more or options.get("tls", "on") not in ("on", "off"):
        raise ValueError(
            " and ".join(("may be followed by ?tls=on", *(f"&{n}=…" for n in ("mechanism", *more)))) + " only"
        )
    credentials = credentials_of(urlsplit(f"kafka://{user}@host")) if at else None
    mechanism = options.get("mechanism", MECHANISMS[0])
    if mechanism not in MECHANISMS:
        raise ValueError(f"knows the mechanisms {', '.join(MECHANISMS)}")
    if credentials and options.get("tls") == "off":
        raise ValueError("sends a password by TLS only")
    target = KafkaTopic(
        tuple(f"{broker[1]}:{broker[2] or _KAFKA_PORT}" for broker in found if broker),
        topic,
        has_tls=credentials is not None or options.get("tls") == "on",
        credentials=credentials,
        mechanism=mechanism,
    )
    return target, {name: value for name, value in options.items() if name in more}


def credentials_of(parts: SplitResult) -> Credentials | None:
    if parts.username is None:
        return None
    return Credentials(unquote(parts.username), unquote(parts.password or ""))
