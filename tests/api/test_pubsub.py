"""`/hooks/pubsub/{name}`: whose pushes are taken, and how each is answered."""

import base64
import functools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient
from jwt.algorithms import RSAAlgorithm

from notifier.access import keys, pubsub_tokens
from notifier.ground.config import Settings
from notifier.ground.extensions import db
from notifier.models import Notification, Submission
from tests.stored import row_counts

ACCOUNT = "pusher@project.iam.gserviceaccount.com"
PATH = "/hooks/pubsub/order-events"
ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}


@functools.cache
def key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Google:
    """What publishes the keys, and signs."""

    def __init__(self) -> None:
        self.published = {"one": key(1)}
        self.asked = 0
        self.is_away = False
        google = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                google.asked += 1
                body = json.dumps({"keys": [] if google.is_away else google.named()}).encode()
                self.send_response(503 if google.is_away else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def named(self) -> list[dict[str, Any]]:
        return [
            RSAAlgorithm.to_jwk(one.public_key(), as_dict=True) | {"kid": kid} for kid, one in self.published.items()
        ]

    def token(self, *, signed_by: Any = None, kid: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
        at = int(time.time())
        said = {
            "iss": "https://accounts.google.com",
            "aud": f"http://localhost{PATH}",
            "email": ACCOUNT,
            "email_verified": True,
            "iat": at,
            "exp": at + 3600,
            "sub": "1",
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, signed_by or key(1), algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def google(app: APIFlask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    google = Google()
    plain = keys.create_key(keys.create_producer("Bus").id, scopes=["notify"])[1]
    changed = replace(
        settings,
        pubsub_account=ACCOUNT,
        consume_key=plain,
        pubsub_keys_url=f"http://127.0.0.1:{google.server.server_port}",
    )
    monkeypatch.setitem(app.extensions, "settings", changed)
    app.extensions.pop("pubsub_keys", None)
    monkeypatch.setattr(pubsub_tokens, "ASKED_AGAIN_S", 0.0)
    yield google
    google.server.shutdown()
    google.server.server_close()


def pushed(data: Any = ORDER, message_id: str = "m1", **more: Any) -> dict[str, Any]:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    message = {"data": base64.b64encode(text).decode(), "messageId": message_id, "publishTime": "2026-11-30T08:00:00Z"}
    return {"message": message | more, "subscription": "projects/shop/subscriptions/orders"}


def push(client: FlaskClient, token: str | None, body: Any = None, path: str = PATH) -> tuple[int, str | None]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = client.post(path, json=pushed() if body is None else body, headers=headers)
    return response.status_code, response.json["code"] if response.data else None


def test_a_message_is_stored_once_and_then_acknowledged(google: Google, client: FlaskClient, cast: Any) -> None:
    for _ in range(2):
        assert push(client, google.token()) == (204, None)
    assert db.session.scalars(sa.select(Submission.idempotency_key)).all() == ["pubsub:order-events/m1"]
    assert db.session.scalar(sa.select(Notification.data)) == ORDER["data"]
    assert google.asked == 1


@pytest.mark.parametrize("sign", ["\0", "\ud800", "\n"])
def test_an_id_that_no_database_stores_is_a_key_all_the_same(
    google: Google, client: FlaskClient, cast: Any, sign: str
) -> None:
    event = {"specversion": "1.0", "id": f"1{sign}", "source": "shop", "type": "order", "data": ORDER}
    for _ in range(2):
        assert push(client, google.token(), pushed(event)) == (204, None)
    [key] = db.session.scalars(sa.select(Submission.idempotency_key))
    assert key.startswith("sha256:")


FORGED = {
    "none": lambda _: None,
    "nonsense": lambda _: "x.y.z",
    "another key": lambda g: g.token(signed_by=key(2)),
    "unknown key": lambda g: g.token(kid="two"),
    "symmetric": lambda g: g.token(signed_by="0" * 32, algorithm="HS256"),
    "unsigned": lambda _: jwt.encode({"iss": "x"}, None, "none"),
    "for another door": lambda g: g.token(aud=f"http://localhost{PATH}2"),
    "for many": lambda g: g.token(aud=["https://other.example", "x"]),
    "another issuer": lambda g: g.token(iss="https://evil.example"),
    "another account": lambda g: g.token(email="other@project.iam.gserviceaccount.com"),
    "not verified": lambda g: g.token(email_verified=False),
    "verified as text": lambda g: g.token(email_verified="true"),
    "no account": lambda g: g.token(email=None),
    "expired": lambda g: g.token(exp=int(time.time()) - 120),
    "from the future": lambda g: g.token(iat=int(time.time()) + 120),
    "never expires": lambda g: g.token(exp=None),
    "times are texts": lambda g: g.token(exp="tomorrow"),
}


def test_only_tokens_of_our_subscription_are_taken(google: Google, client: FlaskClient, cast: Any) -> None:
    before = row_counts()
    seen = {name: push(client, forge(google)) for name, forge in FORGED.items()}
    assert seen == dict.fromkeys(FORGED, (401, "unverified"))
    assert row_counts() == before


def test_a_new_key_of_google_s_is_found(google: Google, client: FlaskClient, cast: Any) -> None:
    assert push(client, google.token()) == (204, None)
    google.published = {"two": key(2)}
    assert push(client, google.token(signed_by=key(2), kid="two")) == (204, None)


def test_invented_keys_are_not_asked_for_each_time(
    google: Google, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub_tokens, "ASKED_AGAIN_S", 3600.0)
    for number in range(5):
        assert push(client, google.token(kid=f"k{number}")) == (401, "unverified")
    assert google.asked == 1


ANSWERED = [
    (pushed(b"not JSON"), (400, "malformed_json")),
    (pushed({**ORDER, "type": "no_such_type"}), (422, "unknown_type")),
    (pushed({**ORDER, "recipients": ["nobody"]}), (422, "unknown_user")),
    (pushed(data=ORDER, message_id=""), (422, "validation_failed")),
    ({"message": {"messageId": "m", "data": "%%%"}}, (422, "validation_failed")),
    (ORDER, (422, "validation_failed")),  # an unwrapped payload
    ([], (422, "validation_failed")),
]


def test_what_cannot_be_accepted_is_not_acknowledged(google: Google, client: FlaskClient, cast: Any) -> None:
    token = google.token()
    assert [push(client, token, body) for body, _ in ANSWERED] == [answer for _, answer in ANSWERED]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Submission)) == 0


def test_what_is_not_set_up_or_away_is_asked_for_later(
    google: Google, client: FlaskClient, app: APIFlask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.is_away = True
    assert push(client, google.token()) == (503, "unavailable")
    google.is_away = False
    changed = replace(app.extensions["settings"], consume_key="ntf_live_unknown")
    monkeypatch.setitem(app.extensions, "settings", changed)
    assert push(client, google.token()) == (503, "unavailable")
    monkeypatch.setitem(app.extensions, "settings", settings)
    assert push(client, google.token()) == (404, "not_found")
