"""Settings: read once from the environment, typed and frozen; all faults are reported in one message.

Each field's metadata holds its help text; docs/settings.md shows the same texts, and a test compares them. A secret
may be given as `NAME_FILE`, the path of a file that holds it, and one of `COMMANDED` as `NAME_COMMAND`, a command that
prints it. Providers declare settings of their own.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from flask import current_app

from notifier.core.limit_policies import default_of
from notifier.core.limits import Caps
from notifier.core.retention import Retention
from notifier.core.segments import Price
from notifier.core.spend import Ceiling
from notifier.core.synthetic import Synthetic
from notifier.ground import cells, openid
from notifier.ground.bus_urls import BusTarget
from notifier.ground.cells import Cells, read_cells
from notifier.ground.encryption import KeyRing
from notifier.ground.openid import OpenIdProvider, read_local_sign_in, read_provider
from notifier.ground.setting_values import Values, local_url
from notifier.ground.sink_urls import SinkTarget
from notifier.ground.target_lists import Lists, TargetList
from notifier.ground.variables import given, type_network

PACKAGE = Path(__file__).resolve().parents[1]
# Where templates, static files, migrations and wsgi.py are: a wheel brings them inside the package (pyproject.toml)
ROOT = PACKAGE / "files" if (PACKAGE / "files").is_dir() else PACKAGE.parent
WSGI = ROOT / "wsgi.py"
INSTALLATION_HEADER = "Notifier-Installation"
FORWARDED_HEADER = "Notifier-Forwarded"  # how many addresses X-Forwarded-For named
GOOGLES_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
COMMANDED = ("SECRET_KEY", "SECRET_KEY_FALLBACK", "ENCRYPTION_KEYS")  # a command may print them
UNITS = ("segment", "call")  # that messages are paid for by
_BESIDE = {openid.ISSUER: openid.SETTINGS, cells.REGION: cells.SETTINGS}  # settings that stand after this one


class BadSettings(Exception):
    """The environment does not make sense. `faults`: sentences for people, without secrets."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "The settings are not valid:\n" + "\n".join(f"  - {fault}" for fault in self.faults)


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
    database_pooler: str | None = _setting(
        "the same database by PgBouncer in transaction mode, `postgresql://…`; migrations and the workers' signs of "
        "life go by `DATABASE_URL` ([details](databases.md#pgbouncer)) (none)"
    )
    database_replica_url: str | None = _setting(
        "a streaming replica of the database, `postgresql://…`, for lists and figures of the console "
        "([details](databases.md#a-replica)) (none)"
    )
    redis_url: str = _setting(
        "`redis://…`, `rediss://…` or `redis+sentinel://host:26379,host2:26379/0?service=mymaster` "
        "([details](databases.md#redis)); unset: an embedded Redis"
    )
    redis_is_embedded: bool = _unlisted()
    secret_key: str = _setting("signs sessions and links; generated into `$NOTIFIER_HOME` in development")
    secret_key_fallback: str | None = _setting("the `SECRET_KEY` before this one: accepted until it is taken out")
    encryption_keys: KeyRing = _setting(
        "`id:base64,…`; the first key encrypts, all decrypt; generated into `$NOTIFIER_HOME` in development"
    )
    public_url: str = _setting(
        "base of the links in messages (`http://HOST:PORT`), without a path; with https, cookies are `Secure`"
    )
    cdn_url: str | None = _setting(
        "base of the addresses of uploaded images, such as a CDN in front of `PUBLIC_URL` (`PUBLIC_URL`)"
    )
    trusted_proxies: int = _setting(
        "number of reverse proxies in front that set `X-Forwarded-For`, `-Proto` and `-Host` (`0`: these headers "
        "are ignored, and in production refused); required in production with an https `PUBLIC_URL`"
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
    outbound_allow: tuple[type_network, ...] = _setting(
        "private networks that outbound calls may reach, as a list of CIDRs (none)"
    )
    webhook_targets: TargetList | None = _setting(
        "networks and hosts that webhooks, URLs of chats and the sink may lead to: CIDRs, `hooks.example.com`, "
        "`*.example.com` (any on the public internet)"
    )
    retry_delays: Mapping[str, tuple[float, ...]] = _setting(
        "seconds between tries, for every priority, such as `1,2,4`; each varies by ±20 %"
    )
    rate_limit: str = _setting(
        "notifications that a producer key may ask for; a call counts as at least one (`200000/minute`)"
    )
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
    retention: Retention = _setting(
        "how long things are kept, in hours, days or weeks (`events 14d, captures 30d, uploads 90d, attempts 30d`); "
        "`notifications` and `calls` (of providers) are kept for good unless they are named"
    )
    events_sink: SinkTarget | None = _setting(
        "where `sink` sends events: `kafka://host:port,host2:port/topic`, or `https://…` for NDJSON (nowhere)"
    )
    consume_url: BusTarget | None = _setting(
        "the message bus that `consume` takes events from, such as `kafka://host:port/topic`; "
        "[consume](consume.md) has the others (none)"
    )
    consume_key: str | None = _setting(
        "the key of the producer in whose name `consume` and Pub/Sub submit; required in production (in development, "
        "`consume` makes one)"
    )
    pubsub_account: str | None = _setting(
        "the service account that Google Pub/Sub pushes as, `name@project.iam.gserviceaccount.com` (no push is taken)"
    )
    pubsub_keys_url: str = _setting(
        "the keys that its tokens are signed with (`https://www.googleapis.com/oauth2/v3/certs`)"
    )
    sms_segment_price: Price | None = _setting(
        "what a segment of an SMS costs, such as `0.075 EUR`; the template editor reckons with it (it shows no price)"
    )
    synthetic: Synthetic | None = _setting(
        "the synthetic person hears every event type this often (`5m`), and one through each account of a channel with "
        "an address (`5m email=canary@example.com`) (off)"
    )
    voice_call_price: Price | None = _setting("what a voice call costs, such as `0.10 EUR` (unknown)")
    message_prices: Mapping[str, Price] = _setting(
        "what a message costs on other channels, such as `email 0.0004 EUR, push 0 EUR`, for `/admin/costs`; that of "
        "`whatsapp` counts towards `SPEND_LIMIT`, too (unknown)"
    )
    spend_limit: Ceiling | None = _setting(
        "what a producer may spend on SMS, calls and WhatsApp in a day (UTC), such as `50 EUR`, unless its page says "
        "otherwise; needs the prices of SMS and calls (no limit)"
    )
    new_phones_limit: str = _setting(
        "first-time phone numbers of one block of 10,000 that a producer may text or call, against SMS pumping "
        "(`100/hour`)"
    )
    phone_countries: frozenset[str] | None = _setting(
        "countries whose phones may be reached, such as `DE, AT, CH` (all)"
    )
    second_factor: str | None = _setting(
        "who must have a second factor to work in the console: everybody from this role on, `viewer`, `operator` or "
        "`admin` (nobody)"
    )
    oidc_issuer: OpenIdProvider | None = _setting(
        "the OpenID provider that people can sign in with ([details](accounts.md#openid-connect)) (none)"
    )
    local_sign_in: frozenset[str] | None = _setting(
        "`on`, or the e-mails of the accounts that may still sign in without `OIDC_ISSUER` in an emergency (`on`)"
    )
    security_contact: str | None = _setting(
        "where to report a security problem, `mailto:…` or `https://…`, for `/.well-known/security.txt` (there is none)"
    )
    region: Cells | None = _setting(
        "name of this cell among several, such as `eu` ([details](cells.md)) (one installation serves everybody)"
    )
    metrics_port: int = _setting(
        "port at which `worker`, `scheduler`, `sink` and `consume` serve `/metrics`, and `up` those of all processes "
        "(`0`: none)"
    )
    metrics_token: str | None = _setting("who wants `/metrics` must show this as a bearer token (nothing is asked)")
    preference_cache: bool = _setting(
        "`on` caches people's preferences in Redis for up to an hour (`on` with PostgreSQL, `off` with SQLite)"
    )
    otel_exporter_otlp_endpoint: str | None = _setting(
        "where traces go, by OTLP over HTTP, such as `http://collector:4318` (nowhere; [traces](traces.md))"
    )
    log_level: str = _setting("the least that is logged: `debug`, `info`, `warning` or `error` (`info`)")
    environment: Mapping[str, str] = _unlisted(repr=False)  # for the settings that providers declare

    @property
    def pooled_url(self) -> str:
        """Of the database, for transactions: nothing of a session may last longer than one."""
        return self.database_pooler or self.database_url

    @property
    def is_production(self) -> bool:
        return self.notifier_env == "production"

    @property
    def has_secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def prices(self) -> dict[str, Price]:
        """By what channels are charged by (`Channel.charged_by`); those that are known."""
        known = zip(UNITS, (self.sms_segment_price, self.voice_call_price), strict=True)
        return {unit: price for unit, price in known if price is not None}

    @property
    def target_lists(self) -> Lists:
        """The installation's list of webhook targets, if it has one."""
        return (self.webhook_targets,) if self.webhook_targets is not None else ()

    @property
    def session_cookie(self) -> str:
        """Its name. With https, browsers take a `__Host-` cookie from this very host alone, not from one beside it."""
        return "__Host-notifier_session" if self.has_secure_cookies else "notifier_session"

    def link(self, *segments: str, fragment: str = "") -> str:
        """The address of one of our pages, for a message: `link("login", "link", secret)`."""
        path = "/".join(("", *(quote(segment, safe="") for segment in segments)))
        return urlsplit(self.public_url)._replace(path=path, fragment=quote(fragment)).geturl()

    @property
    def local_url(self) -> str:
        """Where the web process answers on its own host."""
        return local_url(self.host, self.port)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """All that are accepted; the first signs."""
        return (self.secret_key, self.secret_key_fallback) if self.secret_key_fallback else (self.secret_key,)

    @property
    def installation(self) -> str:
        """The same in all processes of an installation, and in no other: how `doctor` knows that it was us who
        answered. Says nothing of the key.
        """
        return self._mark(self.secret_key)

    def is_installation(self, mark: str) -> bool:
        """Whether that is ours, be it of a process that has not heard of the newest key."""
        return mark in map(self._mark, self.secret_keys)

    @staticmethod
    def _mark(key: str) -> str:
        return hmac.new(key.encode(), b"installation", sha256).hexdigest()[:32]

    def hook_url(self, account: str) -> str:
        """Where a provider tells of an account's messages. Its signatures cover this URL."""
        return f"{self.public_url}/hooks/{account}"

    def of_provider(self, name: str) -> str | None:
        """A setting that a provider declares, by the name it gave it; as everywhere, a file may hold it. Raises
        BadSettings.
        """
        try:
            return given(self.environment, name)
        except ValueError as error:
            raise BadSettings(str(error)) from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, makes_secrets: bool = True) -> "Settings":
        """Raises BadSettings. In development missing secrets are generated into NOTIFIER_HOME, once.

        Without `makes_secrets` nothing is written, and missing secrets are empty.
        """
        return _Reader(environ, makes_secrets=makes_secrets).read()


def current_settings() -> Settings:
    """The settings that the current app was created with."""
    settings: Settings = current_app.extensions["settings"]
    return settings


def setting_names() -> dict[str, str]:
    """Environment variable → help text, in the order of docs/settings.md. Those that providers declare are not here."""
    found: dict[str, str] = {}
    for field_ in fields(Settings):
        if "help" in field_.metadata:
            name = field_.name.upper()
            found |= {name: field_.metadata["help"], **_BESIDE.get(name, {})}
    return found


class _Reader(Values):
    def __init__(self, environ: Mapping[str, str] | None, *, makes_secrets: bool) -> None:
        super().__init__(environ)
        self.makes_secrets = makes_secrets

    def read(self) -> Settings:
        env = self.text("NOTIFIER_ENV", "development")
        if env not in ("development", "production"):
            self.faults.append("NOTIFIER_ENV must be development or production")
        home = Path(self.text("NOTIFIER_HOME", "var")).absolute()
        host, port = self.text("HOST", "127.0.0.1").strip("[]"), self.port("PORT", 5000)
        public_url = self.public_url(local_url(host, port))
        given_redis = self.secret("REDIS_URL")
        targets = self.webhook_targets()
        database_url = self.database_url(home)
        openid_provider = read_provider(self)
        settings = Settings(
            port=port,
            host=host,
            notifier_home=home,
            notifier_env=env,
            database_url=database_url,
            database_pooler=self.other_database("DATABASE_POOLER", database_url),
            database_replica_url=self.other_database("DATABASE_REPLICA_URL", database_url),
            redis_url=self.redis_url(home, given_redis),
            redis_is_embedded=not given_redis,
            secret_key=self.stored_secret("SECRET_KEY", home, env, lambda: secrets.token_urlsafe(48)),
            secret_key_fallback=self.key("SECRET_KEY_FALLBACK"),
            encryption_keys=self.key_ring(home, env),
            public_url=public_url,
            cdn_url=self.cdn_url(),
            trusted_proxies=self.trusted_proxies(env, public_url),
            connections_per_address=self.whole("CONNECTIONS_PER_ADDRESS", 1_000),
            notifier_admin_email=self.environ.get("NOTIFIER_ADMIN_EMAIL") or None,
            notifier_admin_password=self.secret("NOTIFIER_ADMIN_PASSWORD"),
            notifier_producer_key=self.producer_key(),
            notifier_demo=self.text("NOTIFIER_DEMO", "1") != "0",
            outbound_allow=self.networks("OUTBOUND_ALLOW"),
            webhook_targets=targets,
            retry_delays=self.delays(),
            rate_limit=self.rate("RATE_LIMIT", default_of("default")),
            recipient_limit=self.rate("RECIPIENT_LIMIT", default_of("recipient")),
            phone_limit=self.rate("PHONE_LIMIT", default_of("phone")),
            address_limit=self.rate("ADDRESS_LIMIT", default_of("address")),
            caps=self.caps(),
            retention=self.retention(),
            events_sink=self.events_sink(targets),
            consume_url=self.consume_url(),
            consume_key=self.secret("CONSUME_KEY"),
            pubsub_account=self.pubsub_account(),
            pubsub_keys_url=self.url("PUBSUB_KEYS_URL", self.text("PUBSUB_KEYS_URL", GOOGLES_KEYS), ("https", "http")),
            sms_segment_price=self.price("SMS_SEGMENT_PRICE"),
            synthetic=self.synthetic(),
            voice_call_price=self.price("VOICE_CALL_PRICE"),
            message_prices=self.message_prices(),
            spend_limit=self.spend_limit(),
            new_phones_limit=self.rate("NEW_PHONES_LIMIT", default_of("new_phones")),
            phone_countries=self.phone_countries(),
            second_factor=self.second_factor(),
            oidc_issuer=openid_provider,
            local_sign_in=read_local_sign_in(self, has_provider=openid_provider is not None),
            security_contact=self.security_contact(),
            region=read_cells(self),
            metrics_port=self.metrics_port(port),
            metrics_token=self.metrics_token(),
            preference_cache=self.is_on("PREFERENCE_CACHE", "off" if database_url.startswith("sqlite") else "on"),
            otel_exporter_otlp_endpoint=self.collector(),
            log_level=self.log_level(),
            environment=dict(self.environ),
        )
        self.one_currency(settings.sms_segment_price, settings.voice_call_price, *settings.message_prices.values())
        if self.faults:
            raise BadSettings(*self.faults)
        return settings
