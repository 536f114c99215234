"""A real subscriber, and short ways to have it told."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import new_id, parse
from notifier.models import Event, EventStream, Subscription
from tests.conftest import Api
from tests.stored import rows


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)  # type: ignore[no-any-return]

    @property
    def reason(self) -> str:
        """By which the tests tell their events apart."""
        return str(self.event["data"].get("reason"))


Answer = int | tuple[int, dict[str, str]]


@dataclass
class Subscriber:
    """`answer` says what a call is answered with."""

    answer: Callable[[Call], Answer] = lambda _call: 204
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def reasons(self) -> list[str]:
        return [call.reason for call in self.calls]


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    found = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            found.calls.append(call)
            answer = found.answer(call)
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _nothing_is_pruned(app: APIFlask) -> Iterator[None]:
    yield
    with transaction() as session:
        session.execute(sa.update(EventStream).values(pruned=0))


@pytest.fixture
def subscribe(api: Api, subscriber: Subscriber) -> Callable[..., UUID]:
    """→ the id of a new subscription of the api's producer."""

    def make(path: str = "/hook", **fields: Any) -> UUID:
        body = {"url": subscriber.url(path), "events": ["delivery.*"], **fields}
        answer = api.post("/api/v1/subscriptions", body)
        assert answer.status_code == 201, answer.json
        return parse("sbn", answer.json["id"])

    return make


def happened(*reasons: str, **columns: Any) -> list[int]:
    """Events of the only producer there is, one after the other, told apart by their reasons."""
    found = []
    row = {"kind": "delivery.sent", "at": now(), "is_test": False, "type": "like", **columns}
    for reason in reasons:
        delivery = {"delivery_id": new_id(), "channel": "email"}
        with transaction() as session:
            producer_id = session.scalar(sa.text("SELECT id FROM producer ORDER BY created_at LIMIT 1"))
            whose = {"producer_id": producer_id if isinstance(producer_id, UUID) else UUID(producer_id)}
            values = {**delivery, **whose, **row, "reason": reason}
            found.append(int(session.execute(sa.insert(Event).returning(Event.id), values).scalar_one()))
    return found


def stored(subscription_id: UUID) -> Subscription:
    [row] = rows(Subscription, id=subscription_id)
    return row  # type: ignore[no-any-return]
