"""The installation under examination: the settings, and an app that can read its database and Redis but change nothing.

It is not built by `create_app`, which refuses to start if something is wrong, while `doctor` looks for just that.
"""

import base64
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDecided
from urllib.parse import unquote, urlsplit

from flask import Flask
from sqlalchemy import Connection, event

from notifier.channels import ADAPTERS
from notifier.ground.config import BadSettings, Settings
from notifier.ground.encryption import KeyRing, Vault
from notifier.ground.engines import read_only
from notifier.ground.extensions import db, redis_store
from notifier.ground.redis_urls import passwords_of

_SLOWEST_QUERY_MS = 4000
_SHORTEST_SECRET = 4
_MARGIN_S = 0.5  # before the end, so that a check that waited for another can still say so


class Patient:
    """`until`: when (of `time.monotonic`) the examination ends. `vault` has no digest key: it only reads."""

    def __init__(self, settings: Settings, until: float) -> None:
        self.settings = settings
        self.until = until
        self._secrets = _secrets(settings)
        self.vault = vault_of(settings.encryption_keys)
        self.app = Flask("notifier")
        self.app.extensions["settings"] = settings
        url, options = read_only(settings.database_url)
        self.app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_ENGINE_OPTIONS=options)
        db.init_app(self.app)
        redis_store.init_app(self.app, settings.redis_url, logs_outages=False)
        with self.app.app_context():
            if db.engine.dialect.name == "postgresql":
                event.listen(db.engine, "begin", _look_only)
        self._answers: dict[str, Future[bool]] = {"database": Future(), "redis": Future()}

    def decide(self, name: str, *, answers: bool) -> None:
        """Whether the database (at the program's migration) or Redis can be asked. The first word counts."""
        if not self._answers[name].done():
            self._answers[name].set_result(answers)

    def answers(self, name: str) -> bool:
        """Waits until that is known."""
        try:
            return self._answers[name].result(max(0.0, self.until - _MARGIN_S - time.monotonic()))
        except NotDecided:
            return False

    def discreet(self, text: str) -> str:
        """The text without our secrets: drivers and servers quote them in their error messages."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def close(self) -> None:
        with self.app.app_context():
            db.engine.dispose()
            redis_store.client.close()


def _secrets(settings: Settings) -> list[str]:
    """Longest first, since one may be a part of another; nothing so short that it would be found in any sentence."""
    keys = [base64.b64encode(key).decode() for _, key in settings.encryption_keys.keys]
    declared = [
        _declared(settings, setting.name) for adapter in ADAPTERS for setting in adapter.settings if setting.is_secret
    ]
    databases = (settings.database_url, settings.database_pooler, settings.database_replica_url)
    passwords = [text for url in (*databases, *declared) for text in _password(url)]
    sink = settings.events_sink and settings.events_sink.credentials
    others = [
        *settings.secret_keys,
        *passwords_of(settings.redis_url),
        settings.notifier_admin_password,
        settings.notifier_producer_key,
        settings.oidc_issuer and settings.oidc_issuer.client_secret,
        sink and sink.password,
    ]
    return sorted(
        {text for text in (*passwords, *keys, *declared, *others) if text and len(text) >= _SHORTEST_SECRET},
        key=len,
        reverse=True,
    )


def _password(url: str | None) -> tuple[str, ...]:
    """As it stands there, and unquoted."""
    try:
        password = urlsplit(url or "").password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()


def _declared(settings: Settings, name: str) -> str | None:
    try:
        return settings.of_provider(name)
    except BadSettings:  # which the check of the providers tells
        return None


def vault_of(ring: KeyRing) -> Vault | None:
    """None: there are no keys yet."""
    if not ring.keys:
        return None
    vault = Vault()
    vault.open(ring)
    return vault


def _look_only(connection: Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_SLOWEST_QUERY_MS}")
