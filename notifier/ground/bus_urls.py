"""Where `consume` takes messages from (CONSUME_URL, or its argument): Kafka, RabbitMQ, Amazon SQS, Redis Streams.

A URL may hold a password. So what goes into a log is `shown`, and what metrics are labelled with is `name`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from notifier.ground.sink_urls import Credentials, KafkaTopic, credentials_of, parse_kafka

_GROUP = "notifier"
_NAME = re.compile(r"[\x21-\x7e]{1,255}")
_QUEUE_OF_AMAZON = re.compile(r"[A-Za-z0-9_-]{1,75}(\.fifo)?")
_REGION = re.compile(r"[a-z0-9-]{2,32}")
_IDLE_S, _LONGEST_IDLE_S = 60, 43_200  # as long as SQS allows
FIFO = ".fifo"


@dataclass(frozen=True, slots=True)
class KafkaBus:
    topic_at: KafkaTopic
    group: str

    @property
    def name(self) -> str:
        return f"kafka:{self.topic_at.topic}"

    @property
    def shown(self) -> str:
        return self.topic_at.shown

    @property
    def dead(self) -> str:
        return f"{self.topic_at.topic}.dead"


@dataclass(frozen=True, slots=True)
class RabbitBus:
    host: str
    port: int
    vhost: str
    queue: str
    has_tls: bool
    credentials: Credentials | None = None

    @property
    def name(self) -> str:
        return f"amqp:{self.queue}"

    @property
    def shown(self) -> str:
        scheme = "amqps" if self.has_tls else "amqp"
        return f"{scheme}://{_netloc(self.host, self.port)}/{self.vhost.removeprefix('/')}?queue={self.queue}"

    @property
    def dead(self) -> str:
        return f"{self.queue}.dead"


@dataclass(frozen=True, slots=True)
class SqsBus:
    """`endpoint`: of a stand-in, or within a VPC; None: Amazon's for the region. `idle_s`: as for Redis."""

    region: str
    queue: str
    endpoint: str | None = None
    idle_s: int = _IDLE_S

    @property
    def name(self) -> str:
        return f"sqs:{self.queue}"

    @property
    def shown(self) -> str:
        return f"sqs://{self.region}/{self.queue}"

    @property
    def dead(self) -> str:
        """Their names have no dots, but for that of `.fifo`."""
        return f"{self.queue.removesuffix(FIFO)}-dead{FIFO if self.is_fifo else ''}"

    @property
    def is_fifo(self) -> bool:
        return self.queue.endswith(FIFO)


@dataclass(frozen=True, slots=True)
class RedisBus:
    """`idle_s`: after which the messages of a consumer that shows no life are taken over."""

    url: str = field(repr=False)
    host: str
    stream: str
    group: str
    idle_s: int = _IDLE_S

    @property
    def name(self) -> str:
        return f"redis:{self.stream}"

    @property
    def shown(self) -> str:
        return f"redis+stream://{self.host}/{self.stream}"

    @property
    def dead(self) -> str:
        return f"{self.stream}.dead"


BusTarget = KafkaBus | RabbitBus | SqsBus | RedisBus


def parse_bus(text: str) -> BusTarget:
    """Raises ValueError: a sentence for people without a subject and without the URL, which may hold secrets."""
    scheme = text.partition("://")[0]
    if scheme == "kafka":
        target, options = parse_kafka(text, frozenset({"group"}))
        return KafkaBus(target, _named(options.get("group", _GROUP), "group"))
    readers: dict[str, Callable[[SplitResult], BusTarget]] = {
        "amqp": _rabbit,
        "amqps": _rabbit,
        "sqs": _sqs,
        "redis+stream": _redis,
        "rediss+stream": _redis,
    }
    read = readers.get(scheme)
    if read is None:
        raise ValueError("must start with kafka://, amqp://, amqps://, sqs:// or redis+stream://")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be in ASCII and without spaces; other characters are written as %XX")
    try:
        parts = urlsplit(text)
        _ = parts.port  # read, and so judged
    except ValueError:
        raise ValueError("is not a URL; an IPv6 address must be in brackets, [::1]") from None
    return read(parts)


def _rabbit(parts: SplitResult) -> RabbitBus:
    options = _options(parts, {"queue"}, "amqp://user:password@host:5672/vhost?queue=order-events")
    if not parts.hostname or not options.get("queue"):
        raise ValueError("must name a host and a queue, amqp://user:password@host:5672/vhost?queue=order-events")
    has_tls = parts.scheme == "amqps"
    return RabbitBus(
        parts.hostname,
        parts.port or (5671 if has_tls else 5672),
        unquote(parts.path.removeprefix("/")) or "/",
        _named(options["queue"], "queue"),
        has_tls,
        credentials_of(parts),
    )


def _sqs(parts: SplitResult) -> SqsBus:
    options = _options(parts, {"endpoint", "idle"}, "sqs://eu-central-1/order-events")
    queue = parts.path.removeprefix("/")
    if not _REGION.fullmatch(parts.netloc) or not _QUEUE_OF_AMAZON.fullmatch(queue):
        raise ValueError("must name a region and a queue, sqs://eu-central-1/order-events")
    endpoint = options.get("endpoint")
    if endpoint is not None and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        raise ValueError("takes as endpoint= an address like http://localhost:4566")
    return SqsBus(parts.netloc, queue, endpoint, _idle_s(options))


def _redis(parts: SplitResult) -> RedisBus:
    options = _options(parts, {"group", "idle"}, "redis+stream://host:6379/0/order-events?group=notifier")
    database, _, stream = parts.path.removeprefix("/").partition("/")
    if not parts.hostname or not database.isdecimal() or not stream:
        raise ValueError(
            "must name a host, a database and a stream, redis+stream://host:6379/0/order-events?group=notifier"
        )
    url = parts._replace(scheme=parts.scheme.removesuffix("+stream"), path=f"/{database}", query="", fragment="")
    return RedisBus(
        url.geturl(),
        _netloc(parts.hostname, parts.port or 6379),
        _named(unquote(stream), "stream"),
        _named(options.get("group", _GROUP), "group"),
        _idle_s(options),
    )


def _idle_s(options: Mapping[str, str]) -> int:
    idle = options.get("idle", str(_IDLE_S))
    if not idle.isdecimal() or not 1 <= int(idle) <= _LONGEST_IDLE_S:
        raise ValueError(f"takes as idle= a number of seconds, at most {_LONGEST_IDLE_S}")
    return int(idle)


def _options(parts: SplitResult, known: set[str], example: str) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - known or parts.fragment:
        names = " and ".join(f"{name}=" for name in sorted(known))
        raise ValueError(f"may be followed by ?{names} only, as in {example}")
    return options


def _named(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"must name its {what} by 1 to 255 visible ASCII characters")
    return text


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
