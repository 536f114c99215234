"""Settings: read once from the environment, typed and frozen; all faults are reported in one message.

Each field's metadata holds its help text; the README's table shows the same texts, and a test compares them. A secret
may be given as `NAME_FILE`, the path of a file that holds it. Providers declare settings of their own.
"""

import difflib
import hmac
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import limits
from flask import current_app
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from notifier.core.limits import Caps, parse_caps
from notifier.core.retry import DELAYS_S
from notifier.ground.encryption import KeyRing

ROOT = Path(__file__).resolve().parents[2]  # the checkout
WSGI = ROOT / "wsgi.py"
INSTALLATION_HEADER = "Notifier-Installation"
_MOST_WHOLE = 1_000_000
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS and 108 on Linux

_LIKENESS = 0.86  # one letter of seven left out, added or replaced; two of them exchanged
_OF_LATER_RELEASES = {"METRICS_PORT", "RETENTION", "SYNTHETIC", "EVENTS_SINK", "CDN_URL"}
# The variables that Kubernetes sets for a service named notifier
_OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_(SERVICE_)?PORT(_|$)")

type_network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSettings(Exception):
    """The environment does not make sense. The message lists every fault, and no secret."""


class NotReady(Exception):
    """The installation is not in a state in which this could be done. The message is for people, says what to do, and
    holds no secret.
    """


def _setting(help: str) -> Any:
    return field(metadata={"help": help})


def _unlisted(**options: Any) -> Any:
    """Not a setting by itself: derived from others."""
    return field(metadata={}, **options)


@dataclass(frozen=True, slots=True)
class Settings:
    port: int = _setting("port of the web process (`5000`)")
    host: str = _setting("address it listens on (`127.0.0.1`)")
    notifier_home: Path = _setting("state directory: SQLite file, embedded Redis, generated secrets (`./var`)")
    notifier_env: str = _setting(
        "`development` or `production`; in production, secrets must be set, and a channel without a provider is off "
        "instead of sandboxed"
    )
    database_url: str = _setting("`sqlite:///$NOTIFIER_HOME/notifier.db`, or `postgresql://…`")
    redis_url: str = _setting("`redis://…` or `rediss://…`; unset: an embedded Redis")
    redis_is_embedded: bool = _unlisted()
    secret_key: str = _setting("signs sessions and links; generated into `$NOTIFIER_HOME` in development")
    encryption_keys: KeyRing = _setting(
        "`id:base64,…`; the first key encrypts, all decrypt; generated into `$NOTIFIER_HOME` in development"
    )
    public_url: str = _setting(
        "base of the links in messages (`http://HOST:PORT`), without a path; with https, cookies are `Secure`"
    )
    trusted_proxies: int = _setting(
        "number of reverse proxies in front that set `X-Forwarded-For`, `-Proto` and `-Host` (`0`: these headers "
        "are ignored)"
    )
    connections_per_address: int = _setting(
        "open connections allowed per network address (`1000`; `0`: no limit); behind trusted proxies, requests in "
        "progress and open WebSockets"
    )
    notifier_admin_email: str | None = _setting("the first admin's e-mail, instead of `admin@localhost.test`")
    notifier_admin_password: str | None = _setting("the first admin's password, instead of a generated one")
    notifier_producer_key: str | None = _setting(
        "a live producer key with every scope, 32–255 printable characters; `migrate` adds it if it is missing"
    )
    notifier_demo: bool = _setting("`0` leaves the demo data out (`1` under `make run`)")
    smtp_url: str | None = _setting("`smtp://[user:pass@]host:port` or `smtps://…`; unset: the sandbox captures e-mail")
    smtp_from: str = _setting("sender of e-mail (`Notifier <notifier@` host of PUBLIC_URL`>`)")
    outbound_allow: tuple[type_network, ...] = _setting(
        "private networks that outbound calls may reach, as a list of CIDRs (none)"
    )
    retry_delays: Mapping[str, tuple[float, ...]] = _setting(
        "seconds between tries, for every priority, such as `1,2,4`; each varies by ±20 %"
    )
    rate_limit: str = _setting("requests allowed per producer key (`200000/minute`)")
    recipient_limit: str = _setting(
        "how often one person, or one address, may be sent the same urgent or mandatory type, such as one-time codes "
        "(`30/10 minutes`)"
    )
    phone_limit: str = _setting("calls and transactional SMS allowed per phone number (`120/hour`)")
    address_limit: str = _setting(
        "requests without a producer key allowed per network address: inboxes, links in mails, sign-in (`6000/minute`)"
    )
    caps: Caps = _setting(
        "most notifications of each category for one person (`social 10/hour 50/day, marketing 2/hour 5/day, system "
        "3/hour 10/day`)"
    )
    preference_cache: bool = _setting(
        "`on` caches people's preferences in Redis for up to an hour (`on` with PostgreSQL, `off` with SQLite)"
    )
    environment: Mapping[str, str] = _unlisted(repr=False)  # for the settings that providers declare

    @property
    def is_production(self) -> bool:
        return self.notifier_env == "production"

    @property
    def has_secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")

    def link(self, *segments: str, fragment: str = "") -> str:
        """The address of one of our pages, for a message: `link("login", "link", secret)`."""
        path = "/".join(("", *(quote(segment, safe="") for segment in segments)))
        return urlsplit(self.public_url)._replace(path=path, fragment=quote(fragment)).geturl()

    @property
    def local_url(self) -> str:
        """Where the web process answers on its own host."""
        return local_url(self.host, self.port)

    @property
    def installation(self) -> str:
        """The same in all processes of an installation, and in no other: how `doctor` knows that it was us who
        answered. Says nothing of the key.
        """
        return hmac.new(self.secret_key.encode(), b"installation", sha256).hexdigest()[:32]

    def of_provider(self, name: str) -> str | None:
        """A setting that a provider declares, by the name it gave it; as everywhere, a file may hold it. Raises
        BadSettings.
        """
        own = getattr(self, name.lower(), None)
        if own is not None:
            return str(own)
        path = self.environment.get(f"{name}_FILE")
        try:
            return self.environment.get(name) or (Path(path).read_text().strip() if path else None)
        except OSError as error:
            raise BadSettings(f"{name}_FILE cannot be read: {error.strerror}") from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, makes_secrets: bool = True) -> "Settings":
        """Raises BadSettings. In development missing secrets are generated into NOTIFIER_HOME, once.

        Without `makes_secrets` nothing is written, and missing secrets are empty.
        """
        return _Reader(os.environ if environ is None else environ, makes_secrets=makes_secrets).read()


def current_settings() -> Settings:
    """The settings that the current app was created with."""
    settings: Settings = current_app.extensions["settings"]
    return settings


def setting_names() -> dict[str, str]:
    """Environment variable → help text, in the order of the README's table."""
    return {f.name.upper(): f.metadata["help"] for f in fields(Settings) if "help" in f.metadata}


def unread(environ: Mapping[str, str], of_providers: Iterable[str]) -> dict[str, str | None]:
    """Variables that are meant for us and that nothing reads → the setting they are likely to be meant for, if there is
    one that is spelled alike.

    `of_providers` are the settings that providers declare for themselves.
    """
    read = {*setting_names(), *of_providers}
    read |= {f"{name}_FILE" for name in read}
    found = {}
    for name in sorted(environ.keys() - read):
        nearest = difflib.get_close_matches(name, read, n=1, cutoff=_LIKENESS)
        is_ours = name in _OF_LATER_RELEASES or (name.startswith("NOTIFIER_") and not _OF_KUBERNETES.search(name))
        if nearest or is_ours:
            found[name] = nearest[0] if nearest else None
    return found


class _Reader:
    def __init__(self, environ: Mapping[str, str], *, makes_secrets: bool) -> None:
        self.environ = environ
        self.makes_secrets = makes_secrets
        self.faults: list[str] = []

    def read(self) -> Settings:
        env = self.text("NOTIFIER_ENV", "development")
        if env not in ("development", "production"):
            self.faults.append("NOTIFIER_ENV must be development or production")
        home = Path(self.text("NOTIFIER_HOME", "var")).absolute()
        host, port = self.text("HOST", "127.0.0.1").strip("[]"), self.number("PORT", 5000)
        public_url = self.public_url(local_url(host, port))
        given_redis = self.secret("REDIS_URL")
        redis_url = (
            self.checked_url("REDIS_URL", given_redis, ("redis", "rediss", "unix"))
            if given_redis
            else unix_url(embedded_redis_socket(home))
        )
        database_url = self.database_url(home)
        settings = Settings(
            port=port,
            host=host,
            notifier_home=home,
            notifier_env=env,
            database_url=database_url,
            redis_url=redis_url,
            redis_is_embedded=not given_redis,
            secret_key=self.stored_secret("SECRET_KEY", home, env, lambda: secrets.token_urlsafe(48)),
            encryption_keys=self.key_ring(home, env),
            public_url=public_url,
            trusted_proxies=self.count("TRUSTED_PROXIES"),
            connections_per_address=self.whole("CONNECTIONS_PER_ADDRESS", 1_000),
            notifier_admin_email=self.environ.get("NOTIFIER_ADMIN_EMAIL") or None,
            notifier_admin_password=self.secret("NOTIFIER_ADMIN_PASSWORD"),
            notifier_producer_key=self.producer_key(),
            notifier_demo=self.text("NOTIFIER_DEMO", "1") != "0",
            smtp_url=self.smtp_url(),
            smtp_from=self.text("SMTP_FROM", f"Notifier <notifier@{_mail_domain(public_url)}>"),
            outbound_allow=self.networks(),
            retry_delays=self.delays(),
            rate_limit=self.rate("RATE_LIMIT", "200000/minute"),
            recipient_limit=self.rate("RECIPIENT_LIMIT", "30/10 minutes"),
            phone_limit=self.rate("PHONE_LIMIT", "120/hour"),
            address_limit=self.rate("ADDRESS_LIMIT", "6000/minute"),
            caps=self.caps(),
            preference_cache=self.is_on("PREFERENCE_CACHE", "off" if database_url.startswith("sqlite") else "on"),
            environment=dict(self.environ),
        )
        if self.faults:
            raise BadSettings("The settings are not valid:\n" + "\n".join(f"  - {fault}" for fault in self.faults))
        return settings

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name) or default

    def secret(self, name: str) -> str | None:
        path = self.environ.get(f"{name}_FILE")
        if path and not self.environ.get(name):
            try:
                return Path(path).read_text().strip()
            except OSError as error:
                self.faults.append(f"{name}_FILE cannot be read: {error.strerror}")
        return self.environ.get(name) or None

    def number(self, name: str, default: int) -> int:
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
        if not (text.isascii() and text.isdecimal()) or int(text) > _MOST_WHOLE:
            self.faults.append(f"{name} must be a whole number, at most {_MOST_WHOLE}")
            return default
        return int(text)

    def public_url(self, default: str) -> str:
        """An origin: pages, scripts and cookies of ours stand at its root."""
        given = self.checked_url("PUBLIC_URL", self.text("PUBLIC_URL", default), ("http", "https")).rstrip("/")
        parts = _split(given)
        if parts is None or parts.scheme not in ("http", "https"):
            return given  # that has been said
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            self.faults.append(
                "PUBLIC_URL must have no path, and nothing else after the host: Notifier is served at the root "
                "of a name of its own, https://notifier.example.com"
            )
        if parts.hostname in (None, "", *_ANYWHERE):
            self.faults.append(
                "PUBLIC_URL must name a host that people can open, https://notifier.example.com; 0.0.0.0 is not one"
            )
        return given

    def checked_url(self, name: str, text: str, schemes: tuple[str, ...]) -> str:
        scheme = text.partition("://")[0]
        if scheme not in schemes:
            self.faults.append(f"{name} must start with {' or '.join(f'{s}://' for s in schemes)}")
        elif _split(text) is None:
            self.faults.append(f"{name} is not a URL; an IPv6 address must be in brackets, [::1]")
        return text

    def database_url(self, home: Path) -> str:
        given = self.secret("DATABASE_URL")
        url = given or URL.create("sqlite", database=str(home / "notifier.db")).render_as_string(hide_password=False)
        self.checked_url("DATABASE_URL", url, ("sqlite", "postgresql", "postgres", "postgresql+psycopg2"))
        try:
            make_url(url)
        except (ArgumentError, ValueError):
            self.faults.append(
                "DATABASE_URL cannot be read; special characters of names and passwords are written as %XX"
            )
        # SQLAlchemy takes a bare postgresql:// for psycopg 3, which would block the web process's event loop.
        scheme, _, rest = url.partition("://")
        return f"postgresql+psycopg2://{rest}" if scheme in ("postgresql", "postgres") else url

    def stored_secret(self, name: str, home: Path, env: str, make: Any) -> str:
        given = self.secret(name)
        if given:
            return given
        if env == "production":
            self.faults.append(f"{name} is required in production")
            return ""
        path = home / name.lower()
        try:
            return (
                _read_or_create(path, make) if self.makes_secrets else path.read_text().strip() if path.exists() else ""
            )
        except OSError as error:
            self.faults.append(
                f"{name} is kept in {path}, which cannot be {'written' if self.makes_secrets else 'read'}: "
                f"{error.strerror}"
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

    def smtp_url(self) -> str | None:
        url = self.secret("SMTP_URL")
        return self.checked_url("SMTP_URL", url, ("smtp", "smtps")) if url else None

    def networks(self) -> tuple[type_network, ...]:
        networks = []
        for entry in filter(None, (part.strip() for part in self.text("OUTBOUND_ALLOW", "").split(","))):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self.faults.append(f"OUTBOUND_ALLOW: {entry} is not a network in CIDR form")
        return tuple(networks)

    def rate(self, name: str, default: str) -> str:
        text = self.text(name, default)
        try:
            limits.parse(text)
        except ValueError:
            self.faults.append(f"{name} must be like {default}")
        return text

    def caps(self) -> Caps:
        caps, faults = parse_caps(self.text("CAPS", ""))
        self.faults += [f"CAPS: {fault}" for fault in faults]
        return caps

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


_ANYWHERE = ("0.0.0.0", "::")  # addresses to listen on, which no client can open


def local_url(host: str, port: int) -> str:
    """Where a web process that listens there can be asked from its own host."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return urlunsplit(("http", f"[{name}]:{port}" if ":" in name else f"{name}:{port}", "", "", ""))


def unix_url(socket: Path) -> str:
    """As redis-py reads it."""
    return f"unix://{quote(str(socket))}"


def _split(text: str) -> SplitResult | None:
    """None for what is no URL: its host and port cannot be told."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # read, and so judged
    except ValueError:
        return None
    return parts


def _mail_domain(public_url: str) -> str:
    """The host of PUBLIC_URL; an IPv6 address cannot stand after an @."""
    host = urlsplit(public_url).hostname or "localhost"
    return "localhost" if ":" in host else host


def embedded_redis_socket(home: Path) -> Path:
    """Where the embedded Redis listens: in the state directory, or, its path being too long for a socket, in a private
    temporary one.
    """
    path = home / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    return (
        Path(tempfile.gettempdir())
        / f"notifier-{os.getuid()}-{sha256(os.fsencode(home)).hexdigest()[:12]}"
        / "redis.sock"
    )


def _read_or_create(path: Path, make: Any) -> str:
    """The secret in `path`, made on first use, readable by its owner only. Two processes at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(draft, path)  # fails when another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def bare_environment() -> dict[str, str]:
    """The environment that a child process needs to run at all, without any setting or secret of ours."""
    return {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV")
        if name in os.environ
    }
