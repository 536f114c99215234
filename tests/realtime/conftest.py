"""A real server with our app on a free port, and real Socket.IO clients."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import socketio as wire
from apiflask import APIFlask
from werkzeug.serving import make_server

from notifier.app import create_app
from notifier.config import Settings
from notifier.extensions import db, socketio
from notifier.realtime.publish import NAMESPACE

PATIENCE_S = 10


class Refused(Exception):
    """The server wants no such connection."""


class Browser:
    """A Socket.IO client that keeps what it hears. `hear()` → the next event. Raises Refused.

    By polling unless told otherwise: the client's WebSocket takes three seconds to close.
    """

    def __init__(self, url: str, auth: Any = None, headers: dict[str, str] | None = None, transport: str = "polling") -> None:
        self.wire = wire.Client(reconnection=False)
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.gone = threading.Event()
        for event in ("item", "state"):
            self.wire.on(event, lambda payload, event=event: self.events.put((event, payload)), namespace=NAMESPACE)
        self.wire.on("disconnect", lambda *_: self.gone.set(), namespace=NAMESPACE)
        outcome: queue.Queue[Any] = queue.Queue()
        self.wire.on("connect", lambda: outcome.put(None), namespace=NAMESPACE)
        self.wire.on("connect_error", outcome.put, namespace=NAMESPACE)
        self.wire.connect(url, headers=headers or {}, auth=auth, namespaces=[NAMESPACE], transports=[transport], wait=False)
        refusal = outcome.get(timeout=PATIENCE_S)
        if refusal is not None:
            self.wire.disconnect()
            raise Refused(refusal["message"])

    def ask(self, event: Any, *arguments: Any) -> Any:
        return self.wire.call(event, arguments or None, namespace=NAMESPACE, timeout=PATIENCE_S)

    def hear(self) -> tuple[str, Any]:
        return self.events.get(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def live_app(settings: Settings, migrated_app: APIFlask) -> Iterator[APIFlask]:
    """An app of its own: the one the tests write with plays another process."""
    app = create_app(settings)
    socketio.server.eio.ping_interval = 1  # a client's farewell may have to wait for the next ping
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def url(live_app: APIFlask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, live_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
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
