"""A real server with our app on a free port, and real Socket.IO clients."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import socketio as wire
from apiflask import APIFlask
from flask import Config
from flask.sessions import SecureCookieSessionInterface
from werkzeug.serving import make_server

from notifier.access import accounts, sessions
from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.ground.extensions import db, socketio
from notifier.signals.publish import NAMESPACE

PATIENCE_S = 60  # nothing takes so long, but for a machine that is busy with something else


class Refused(Exception):
    """The server wants no such connection."""


class CutOff(Exception):
    """The server has ended the connection without an answer: a browser tries again."""


class Browser:
    """A Socket.IO client that keeps what it hears. `hear()` → the next event. Raises Refused and CutOff.

    By polling unless told otherwise: the client's WebSocket takes three seconds to close.
    """

    def __init__(
        self,
        url: str,
        auth: Any = None,
        headers: dict[str, str] | None = None,
        transport: str = "polling",
        namespace: str = NAMESPACE,
    ) -> None:
        self.wire, self.namespace = wire.Client(reconnection=False, request_timeout=PATIENCE_S), namespace
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.gone = threading.Event()
        for event in ("item", "state", "changed"):
            self.wire.on(event, lambda payload, event=event: self.events.put((event, payload)), namespace=namespace)
        self.wire.on("disconnect", lambda *_: self.gone.set(), namespace=namespace)
        outcome: queue.Queue[Any] = queue.Queue()
        self.wire.on("connect", lambda: outcome.put(None), namespace=namespace)
        self.wire.on("connect_error", outcome.put, namespace=namespace)
        of_the_client = self.wire.eio.handlers["disconnect"]
        self.wire.eio.on("disconnect", lambda reason: (of_the_client(reason), outcome.put(CutOff())))
        self.wire.connect(
            url, headers=headers or {}, auth=auth, namespaces=[namespace], transports=[transport], wait=False
        )
        refusal = outcome.get(timeout=PATIENCE_S)
        if isinstance(refusal, CutOff):
            raise refusal
        if refusal is not None:
            self.wire.disconnect()
            raise Refused(refusal["message"])

    def ask(self, event: Any, *arguments: Any) -> Any:
        return self.wire.call(event, arguments or None, namespace=self.namespace, timeout=PATIENCE_S)

    def hear(self) -> tuple[str, Any]:
        return self.events.get(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def live_app(settings: Settings, migrated_app: APIFlask) -> Iterator[APIFlask]:
    """An app of its own, behind a proxy: the one the tests write with plays another process."""
    app = create_app(replace(settings, trusted_proxies=1))
    socketio.server.eio.ping_interval = 1  # a client's farewell may have to wait for the next ping
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def url(live_app: APIFlask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, live_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def connect(url: str, app: APIFlask) -> Iterator[Callable[..., Browser]]:
    browsers: list[Browser] = []

    def call(**options: Any) -> Browser:
        browsers.append(Browser(url, **options))
        return browsers[-1]

    yield call
    for browser in browsers:
        browser.wire.disconnect()


@pytest.fixture
def cookie_of(app: APIFlask, config: Config) -> Callable[..., dict[str, str]]:
    """The headers of a browser in which that person has signed in, to a new account of that role."""

    def call(user_id: str, role: str = "person") -> dict[str, str]:
        account = accounts.create_account(f"{user_id}@example.test", None, role, user_id)
        signer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert signer is not None
        kept = {"_user_id": str(account.id), "_fresh": True, sessions.KEY: sessions.begin(account, sessions.PASSWORD)}
        return {"Cookie": f"{config['SESSION_COOKIE_NAME']}={signer.dumps(kept)}"}

    return call
