"""What a provider says afterwards, where nobody of ours is left who knows what was sent."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import uuid4

import pytest
import urllib3
from twilio.request_validator import RequestValidator

from tests.channels.twilio import ACCOUNT, TOKEN
from tests.faults.installation import USERS, Installation
from tests.running import eventually

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session"),
]

NAME = "texts"
TYPE = "order_delivered"


class Twilio:
    """Takes messages and never answers. `taken`: the StatusCallback of each, in the order of their arrival."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._released = threading.Event()
        twilio = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                twilio.taken.append(dict(parse_qsl(body.decode()))["StatusCallback"])
                twilio._released.wait(600)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def twilio(running: Installation) -> Iterator[Twilio]:
    """An account of the installation, and a phone for everybody."""
    server = Twilio()
    settings = {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_FROM": "+15005550006",
        "TWILIO_URL": server.url,
    }
    options = [f"{name}={value}" for name, value in settings.items()]
    assert running.start("providers", "add", NAME, "twilio", *options).wait(60) == 0, running.log_text()
    for number, user in enumerate(USERS):
        phone = {"channel": "sms", "value": f"+49151123456{number:02}"}
        running.call("POST", f"/api/v1/users/{user}/addresses", phone)
    type_ = running.call("GET", f"/api/v1/types/{TYPE}")
    running.call("PUT", f"/api/v1/types/{TYPE}", {**type_, "mandatory": True, "resend_unknown": False})
    yield server
    assert running.start("providers", "remove", NAME).wait(60) == 0, running.log_text()
    server.stop()


def told(callback: str, status: str, *, token: str = TOKEN) -> int:
    """Twilio's call about a message → what it is answered."""
    [delivery] = parse_qs(urlsplit(callback).query)["delivery"]
    form = {"AccountSid": ACCOUNT, "MessageSid": f"SM{delivery[4:]}", "MessageStatus": status, "To": "+4915112345600"}
    signature = RequestValidator(token).compute_signature(callback, form)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    answer = urllib3.request("POST", callback, body=urlencode(form), headers=headers)
    return answer.status


def test_what_a_killed_worker_sent_is_settled_by_its_receipts(running: Installation, twilio: Twilio) -> None:
    """And never sent again: half of the receipts come while the deliveries still count as being sent."""
    eventually(running.has_settled_lifelines)
    worker = running.start("worker", "--queues", "sms.*", "--lanes", "200")
    order = {"type": TYPE, "recipients": USERS, "channels": ["sms"], "data": {"order_id": uuid4().hex}}
    notifications = running.call("POST", "/api/v1/notifications", order)["notifications"]
    deliveries = [delivery["id"] for notification in notifications for delivery in notification["deliveries"]]
    eventually(lambda: len(twilio.taken) == len(USERS))
    worker.kill()
    half = len(USERS) // 2
    early, late = twilio.taken[:half], twilio.taken[half:]
    assert {told(callback, "delivered") for callback in early} == {200}
    eventually(lambda: running.statuses_of(deliveries) == {"delivered": half, "unknown": len(late)})
    assert {told(callback, "delivered", token="another") for callback in late} == {401}
    assert running.statuses_of(deliveries) == {"delivered": half, "unknown": len(late)}
    assert {told(callback, "delivered") for callback in late} == {200}
    eventually(lambda: running.statuses_of(deliveries) == {"delivered": len(USERS)})
    assert sorted(parse_qs(urlsplit(url).query)["delivery"][0] for url in twilio.taken) == sorted(deliveries)
