"""A worker that is killed after the provider has taken its message, and before that is recorded: the receipt says what
became of it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from notifier.channels import serving
from notifier.channels.serving import Account
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import Delivery
from notifier.pipeline.upkeep import lapsed
from tests.commands import Program
from tests.running import eventually
from tests.stored import deliveries

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


class Deaf:
    """Takes each message and never says so. `taken`: the forms."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        self.is_over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.taken.append(dict(parse_qsl(body)))
                outer.is_over.wait(60)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    server = Deaf()
    yield server
    server.is_over.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.mark.slow
@pytest.mark.usefixtures("cast")
def test_a_message_whose_worker_was_killed_is_settled_by_its_receipt_and_sent_once(
    app: APIFlask, client: FlaskClient, environment: dict[str, str], deaf: Deaf, submit: Callable[..., Any]
) -> None:
    options = {
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_FROM": "+15005550006",
        "TWILIO_URL": deaf.url,
    }
    serving.registry().configure([Account("twilio", "twilio", options)])
    submit("alice", channels=("sms",), type="newsletter", data={"title": "T", "body": "B"})
    worker = Program(["worker"], {"PATH": os.environ["PATH"], **environment, **options})
    try:
        eventually(lambda: deaf.taken)
    finally:
        worker.kill()
        worker.wait()
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now() - timedelta(seconds=1)))
    lapsed.free_lapsed()
    [row] = deliveries()
    assert (row.status, row.code) == ("unknown", "lease_lapsed")

    callback = deaf.taken[0]["StatusCallback"]
    assert parse_qs(urlsplit(callback).query) == {"delivery": [row.shown_id]}
    told = {
        "AccountSid": options["TWILIO_ACCOUNT_SID"],
        "MessageSid": "SM" + "1" * 32,
        "MessageStatus": "delivered",
        "To": "+4915112345678",
    }
    signature = RequestValidator(TOKEN).compute_signature(callback, told)
    answer = client.post(
        f"/hooks/twilio?{urlsplit(callback).query}", data=told, headers={"X-Twilio-Signature": signature}
    )
    assert answer.status_code == 200
    [row] = deliveries()
    assert (row.status, row.code, row.delivered_at is not None) == ("delivered", None, True)
    assert len(deaf.taken) == 1
