"""A provider of nobody's, with receipts: `Acme` hands messages to a server of its own, and what that tells later is
signed with an HMAC over time, URL and body.
"""

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier import channels
from notifier.channels import serving
from notifier.channels.contract import Adapter, Setting
from notifier.channels.receipts import KINDS, Event, HookRefused, HookRequest, Misdirected
from notifier.channels.serving import Account
from notifier.channels.table import MAIL, SMS, WHATSAPP
from notifier.core.errors import InvalidRecipient, OptedOut
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground.clock import now

SECRET = "shared"


class Acme(Adapter):
    channel = MAIL
    provider = "acme"
    label = "Acme"
    settings = (
        Setting("ACME_URL", "Where it is", example="https://acme.test"),
        Setting("ACME_SECRET", "Signs its calls", is_secret=True, is_required=False, verifies=True, example="shared"),
    )
    tells = KINDS

    def send(self, message: Message, to: Recipient) -> Receipt:
        answer = self.http.post_json(
            self.options["ACME_URL"], {"to": to.address, "reference": message.delivery_id}, {}
        ).json()
        if answer.get("dead"):
            raise InvalidRecipient("nobody there", code="dead")
        if answer.get("stopped"):
            raise OptedOut("they said STOP", code="21610")
        return Receipt("sent", answer["id"])

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        secret = self.options.get("ACME_SECRET")
        if not secret or not hmac.compare_digest(
            signature(request.url, request.body, secret), request.headers.get("acme-signature", "")
        ):
            raise HookRefused("the signature is wrong")
        events = request.json()
        if any(event.get("account") not in (None, self.name) for event in events):
            raise Misdirected("events of another account")
        return [read(event) for event in events if event.get("kind") in KINDS]

    def answer_challenge(self, request: HookRequest) -> str:
        if request.query.get("token") != self.options.get("ACME_SECRET"):
            raise HookRefused("the token is wrong")
        return request.query["challenge"]


class AcmeSms(Acme):
    channel = SMS
    provider = "acme_sms"


class AcmeWhatsapp(Acme):
    channel = WHATSAPP
    provider = "acme_whatsapp"


def read(told: dict[str, Any]) -> Event:
    """An event as Acme writes it."""
    return Event(**{**told, "at": datetime.fromisoformat(told["at"])})


def signature(url: str, body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), url.encode() + body, hashlib.sha256).hexdigest()


class Server:
    """Takes every message. `sent`: (to, reference, its id). `when_sent` is called before it answers, with these."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self.when_sent: Callable[..., None] = lambda *_: None
        self.answer: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken = (asked["to"], asked["reference"], f"acme-{len(outer.sent) + 1}")
                outer.sent.append(taken)
                outer.when_sent(*taken)
                body = json.dumps({"id": taken[2], **outer.answer}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/"


@pytest.fixture
def acme(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Accounts `acme` (e-mail), `acme_sms`, `acme_whatsapp`, and `acme2`: a second one for e-mail, tried last."""
    server = Server()
    monkeypatch.setattr(channels, "ADAPTERS", (*channels.ADAPTERS, Acme, AcmeSms, AcmeWhatsapp))
    options = {"ACME_URL": server.url, "ACME_SECRET": SECRET}
    names = {"acme": "acme", "acme_sms": "acme_sms", "acme_whatsapp": "acme_whatsapp", "acme2": "acme"}
    serving.registry().configure(
        [Account(name, adapter, options, place) for place, (name, adapter) in enumerate(names.items())]
    )
    yield server
    server.http.shutdown()
    server.http.server_close()
    serving.registry().configure(())


def event(kind: str, id: str | None = None, *, ago: float = 0, **fields: Any) -> dict[str, Any]:
    """As Acme writes it; `ago` in seconds."""
    at = now() - timedelta(seconds=ago)
    told = {"kind": kind, "at": at.isoformat(), **fields}
    return {"id": id or hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:20], **told}


def tell(client: FlaskClient, *events: dict[str, Any], account: str = "acme", query: str = "", **options: Any) -> Any:
    """Acme's call to the account's hook. → the response."""
    body = options.pop("body", json.dumps(events).encode())
    path = f"/hooks/{account}{query}"
    headers = {"Acme-Signature": signature(f"http://localhost{path}", body), **options.pop("headers", {})}
    return client.post(path, data=body, headers=headers, **options)
