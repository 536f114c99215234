"""How each setting is read from the environment: what it may be, and the sentence for what it may not be. Faults are
gathered, so that all are told at once (`config.BadSettings`).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlunsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from notifier.core import roles
from notifier.core.costs import parse_prices
from notifier.core.limits import Caps, parse_caps
from notifier.core.retention import Retention, parse_retention
from notifier.core.retry import DELAYS_S
from notifier.core.segments import Price
from notifier.core.spend import Ceiling, parse_ceiling
from notifier.core.synthetic import Synthetic, parse_synthetic
from notifier.ground import embedded_redis
from notifier.ground.bus_urls import BusTarget, parse_bus
from notifier.ground.encryption import KeyRing
from notifier.ground.phone_countries import parse_countries
from notifier.ground.redis_urls import parse_redis
from notifier.ground.secret_files import read, read_or_create
from notifier.ground.sink_urls import SinkTarget, parse_sink
from notifier.ground.target_lists import INSTALLATION, TargetList, leaves_out
from notifier.ground.trace_variables import faults_of
from notifier.ground.variables import Variables, split_url

_CONTACT = re.compile(r"(mailto:[^\s@]+@[^\s@]+|https://\S+)", re.ASCII)
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg2")
_ACCOUNT = re.compile(r"[^\s@]+@[^\s@]+", re.ASCII)
_ANYWHERE = ("0.0.0.0", "::")  # addresses to listen on, which no client can open


class Values(Variables):
    makes_secrets: bool

    def public_url(self, default: str) -> str:
        """An origin: pages, scripts and cookies of ours stand at its root."""
        url = self.url("PUBLIC_URL", self.text("PUBLIC_URL", default), ("http", "https")).rstrip("/")
        parts = split_url(url)
        if parts is None or parts.scheme not in ("http", "https"):
            return url  # that has been said
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            self.faults.append(
                "PUBLIC_URL must have no path, and nothing else after the host: Notifier is served at the root "
                "of a name of its own, https://notifier.example.com"
            )
        if parts.hostname in (None, "", *_ANYWHERE):
            self.faults.append(
                "PUBLIC_URL must name a host that people can open, https://notifier.example.com; 0.0.0.0 is not one"
            )
        return url

    def trusted_proxies(self, env: str, public_url: str) -> int:
        """Notifier speaks no TLS itself, so behind an https address there is something that does."""
        if env == "production" and public_url.startswith("https:") and not self.environ.get("TRUSTED_PROXIES"):
            self.faults.append(
                "TRUSTED_PROXIES is required in production with an https PUBLIC_URL: the number of reverse proxies in "
                "front that set X-Forwarded-For, or 0 if what ends TLS sets no such header"
            )
        return self.count("TRUSTED_PROXIES")

    def cdn_url(self) -> str | None:
        """It may have a path; what follows it is the path of an image."""
        text = self.text("CDN_URL", "").rstrip("/")
        url = self.url("CDN_URL", text, ("http", "https")) if text else None
        parts = split_url(url) if url else None
        if parts and parts.scheme in ("http", "https"):
            is_plain = text.isascii() and text.isprintable() and not set(text) & set(" \"'<>\\{}")
            if not is_plain or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
                self.faults.append(
                    "CDN_URL must be an address to which the path of an image is added, https://cdn.example.com"
                )
        return url

    def database_url(self, home: Path) -> str:
        file = URL.create("sqlite", database=str(home / "notifier.db"))
        url = self.secret("DATABASE_URL") or file.render_as_string()
        known = len(self.faults)
        url = self._database("DATABASE_URL", url, ("sqlite", *_POSTGRESQL))
        if len(self.faults) == known and url.startswith("sqlite:") and _names_no_file(make_url(url)):
            self.faults.append("DATABASE_URL must name a file, sqlite:////path/notifier.db: all processes share it")
        return url

    def other_database(self, name: str, primary: str) -> str | None:
        """Another way to the same database, or to a copy of it."""
        url = self.secret(name)
        if url is None:
            return None
        if not primary.startswith("postgresql"):
            self.faults.append(f"{name} needs DATABASE_URL to be PostgreSQL's, postgresql://…")
        return self._database(name, url, _POSTGRESQL)

    def _database(self, name: str, url: str, schemes: tuple[str, ...]) -> str:
        self.url(name, url, schemes)
        try:
            make_url(url)
        except (ArgumentError, ValueError):
            self.faults.append(f"{name} cannot be read; special characters of names and passwords are written as %XX")
        # SQLAlchemy takes a bare postgresql:// for psycopg 3, which would block the web process's event loop.
        scheme, _, rest = url.partition("://")
        return f"postgresql+psycopg2://{rest}" if scheme in ("postgresql", "postgres") else url

    def redis_url(self, home: Path, text: str | None) -> str:
        if not text:
            return embedded_redis.url(home)
        try:
            parse_redis(text)
        except ValueError as error:
            self.faults.append(f"REDIS_URL {error}")
        return text

    def stored_secret(self, name: str, home: Path, env: str, make: Callable[[], str]) -> str:
        known = len(self.faults)
        if (secret := self.key(name)) or len(self.faults) > known:
            return secret or ""
        if env == "production":
            self.faults.append(f"{name} is required in production")
            return ""
        path = home / name.lower()
        try:
            if self.makes_secrets:
                return read_or_create(path, make)
            return read(path) if path.exists() else ""
        except OSError as error:
            self.faults.append(
                f"{name} is kept in {path}, which cannot be {'written' if self.makes_secrets else 'read'}: "
                f"{error.strerror}"
            )
        except ValueError as error:
            self.faults.append(
                f"{name} is kept in {path}, which {error}: put it back from a backup. Without the file another one is "
                "made, and what the first one has signed or encrypted cannot be opened any more"
            )
        return ""

    def key_ring(self, home: Path, env: str) -> KeyRing:
        text = self.stored_secret("ENCRYPTION_KEYS", home, env, KeyRing.generate)
        try:
            return KeyRing.parse(text)
        except ValueError as error:
            if text:
                self.faults.append(f"ENCRYPTION_KEYS {error}")
            return KeyRing(())

    def producer_key(self) -> str | None:
        key = self.secret("NOTIFIER_PRODUCER_KEY")
        if key and not (32 <= len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
            self.faults.append("NOTIFIER_PRODUCER_KEY must have 32 to 255 printable characters")
        return key

    def caps(self) -> Caps:
        caps, faults = parse_caps(self.text("CAPS", ""))
        self.faults += [f"CAPS: {fault}" for fault in faults]
        return caps

    def retention(self) -> Retention:
        retention, faults = parse_retention(self.text("RETENTION", ""))
        self.faults += [f"RETENTION: {fault}" for fault in faults]
        return retention

    def price(self, name: str) -> Price | None:
        text = self.text(name, "")
        try:
            return Price.parse(text) if text else None
        except ValueError as error:
            self.faults.append(f"{name} {error}")
            return None

    def message_prices(self) -> Mapping[str, Price]:
        prices, faults = parse_prices(self.text("MESSAGE_PRICES", ""))
        self.faults += [f"MESSAGE_PRICES: {fault}" for fault in faults]
        return prices

    def one_currency(self, *prices: Price | None) -> None:
        if len({price.currency for price in prices if price}) > 1:
            self.faults.append("SMS_SEGMENT_PRICE, VOICE_CALL_PRICE and MESSAGE_PRICES must be in the same currency")

    def spend_limit(self) -> Ceiling | None:
        """What no price is known for would pass it unseen."""
        text = self.text("SPEND_LIMIT", "")
        try:
            ceiling = parse_ceiling(text) if text else None
        except ValueError as error:
            self.faults.append(f"SPEND_LIMIT {error}")
            return None
        prices = [self.text(name, "").strip() for name in ("SMS_SEGMENT_PRICE", "VOICE_CALL_PRICE")]
        if ceiling and not all(price.endswith(f" {ceiling.currency}") for price in prices):
            self.faults.append(
                f"SPEND_LIMIT needs SMS_SEGMENT_PRICE and VOICE_CALL_PRICE in {ceiling.currency}; the price of what "
                "is not used can be 0"
            )
        return ceiling

    def phone_countries(self) -> frozenset[str] | None:
        text = self.text("PHONE_COUNTRIES", "")
        try:
            return frozenset(parse_countries(text.split(","))) if text else None
        except ValueError as error:
            self.faults.append(f"PHONE_COUNTRIES: {error}")
            return None

    def events_sink(self, targets: TargetList | None) -> SinkTarget | None:
        text = self.secret("EVENTS_SINK")
        try:
            sink = parse_sink(text) if text else None
        except ValueError as error:
            self.faults.append(f"EVENTS_SINK {error}")
            return None
        if sink and targets and any(leaves_out((targets,), host) for host in sink.hosts):
            self.faults.append("EVENTS_SINK leads to a host that WEBHOOK_TARGETS does not name")
        return sink

    def consume_url(self) -> BusTarget | None:
        text = self.secret("CONSUME_URL")
        try:
            return parse_bus(text) if text else None
        except ValueError as error:
            self.faults.append(f"CONSUME_URL {error}")
            return None

    def pubsub_account(self) -> str | None:
        account = self.text("PUBSUB_ACCOUNT", "") or None
        if account is not None and not _ACCOUNT.fullmatch(account):
            self.faults.append("PUBSUB_ACCOUNT must be a service account, name@project.iam.gserviceaccount.com")
        if account is not None and not self.secret("CONSUME_KEY"):
            self.faults.append("PUBSUB_ACCOUNT needs CONSUME_KEY, the key of the producer in whose name messages come")
        return account

    def webhook_targets(self) -> TargetList | None:
        text = self.text("WEBHOOK_TARGETS", "")
        try:
            return TargetList.parse(INSTALLATION, filter(None, map(str.strip, text.split(",")))) if text else None
        except ValueError as error:
            self.faults.append(f"WEBHOOK_TARGETS: {error}")
            return None

    def metrics_port(self, of_web: int) -> int:
        port = 0 if self.text("METRICS_PORT", "0") == "0" else self.port("METRICS_PORT", 0)
        if port == of_web:
            self.faults.append("METRICS_PORT must be another port than PORT")
        return port

    def metrics_token(self) -> str | None:
        token = self.secret("METRICS_TOKEN")
        if token and not (16 <= len(token) <= 255 and token.isascii() and token.isprintable() and " " not in token):
            self.faults.append("METRICS_TOKEN must have 16 to 255 printable characters")
        return token

    def synthetic(self) -> Synthetic | None:
        text = self.secret("SYNTHETIC")
        try:
            return parse_synthetic(text) if text else None
        except ValueError as error:
            self.faults.append(f"SYNTHETIC {error}")
            return None

    def collector(self) -> str | None:
        """OpenTelemetry's own variables are read by its library, which says nothing to those that make no sense."""
        text = self.text("OTEL_EXPORTER_OTLP_ENDPOINT", "")
        if not text:
            return None
        self.faults += faults_of(self.environ)
        return self.url("OTEL_EXPORTER_OTLP_ENDPOINT", text, ("http", "https"))

    def log_level(self) -> str:
        level = self.text("LOG_LEVEL", "info").lower()
        if level not in ("debug", "info", "warning", "error"):
            self.faults.append("LOG_LEVEL must be debug, info, warning or error")
        return level

    def second_factor(self) -> str | None:
        role = self.text("SECOND_FACTOR", "") or None
        if role not in (None, *roles.OF_CONSOLE):
            self.faults.append("SECOND_FACTOR must be viewer, operator or admin")
        return role

    def security_contact(self) -> str | None:
        uri = self.text("SECURITY_CONTACT", "") or None
        if uri is not None and not _CONTACT.fullmatch(uri):
            self.faults.append("SECURITY_CONTACT must be an address like mailto:security@example.com or https://…")
        return uri

    def delays(self) -> Mapping[str, tuple[float, ...]]:
        text = self.text("RETRY_DELAYS", "")
        if not text:
            return DELAYS_S
        try:
            delays = tuple(float(part) for part in text.split(","))
        except ValueError:
            delays = (-1.0,)
        if any(not 0 <= delay <= 86_400 for delay in delays):
            self.faults.append("RETRY_DELAYS must be a comma-separated list of seconds, each at most a day")
        return dict.fromkeys(DELAYS_S, delays)


def _names_no_file(url: URL) -> bool:
    database = url.database or ""
    return database in ("", ":memory:") or database.startswith("file:") or "uri" in url.query


def local_url(host: str, port: int) -> str:
    """Where a web process that listens there can be asked from its own host."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return urlunsplit(("http", f"[{name}]:{port}" if ":" in name else f"{name}:{port}", "", "", ""))
