"""The whole road with real processes: API to inbox, mail server and webhook; and what a dead Redis changes (nothing is
lost).
"""

import email
import email.policy
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
import socketio
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from bench import pressure, smoke
from bench.target import Target
from notifier.channels import CHANNELS
from tests.commands import run_command
from tests.conftest import new_postgres_database
from tests.running import Redis, Up, eventually, free_port

pytestmark = pytest.mark.slow


class MailServer:
    """A real SMTP server that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], email.message.EmailMessage]] = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, email.message.EmailMessage)
        self.mails.append((envelope.rcpt_tos, parsed))
        return "250 OK"

    def to(self, address: str) -> list[email.message.EmailMessage]:
        return [mail for recipients, mail in self.mails if recipients == [address]]


class Sink(ThreadingHTTPServer):
    """A web server that keeps every request: (headers, body)."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(scope="module")
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    server.controller.start()
    yield server
    server.controller.stop()


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("own-redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mail_server: MailServer, own_redis: Redis
) -> Iterator[Up]:
    redis.Redis.from_url(own_redis.url).flushall()
    mail_server.mails.clear()
    environment = {
        "REDIS_URL": own_redis.url,
        "SMTP_URL": f"smtp://127.0.0.1:{mail_server.controller.port}",
        "OUTBOUND_ALLOW": "127.0.0.0/8",
    }
    if request.param == "postgresql":
        environment["DATABASE_URL"] = new_postgres_database(
            request.getfixturevalue("postgres_server"), "notifier_end_to_end"
        )
    up = Up(tmp_path_factory.mktemp("running") / "home", free_port(), **environment).until_ready()
    eventually(up.is_whole)
    yield up
    assert up.stop() == 0


def order_placed(user: str, address: str) -> dict[str, Any]:
    return {"type": "order_placed", "recipients": [{"id": user, "email": address}], "data": {"order_id": "R1"}}


def statuses(up: Up, submission: str) -> dict[str, str]:
    found = up.call(f"/api/v1/submissions/{submission}")
    return {
        delivery["channel"]: delivery["status"]
        for notification in found["notifications"]
        for delivery in notification["deliveries"]
    }


def test_one_call_reaches_the_open_inbox_the_mailbox_and_the_webhook(running: Up, mail_server: MailServer) -> None:
    sink = Sink()
    running.call("/api/v1/users/ann", {"email": "ann@example.test", "name": "Ann", "locale": "de"}, method="PUT")
    address = running.call(
        "/api/v1/users/ann/addresses",
        {"channel": "webhook", "value": f"http://127.0.0.1:{sink.server_address[1]}/hook"},
    )
    token = running.call("/api/v1/users/ann/token", {"expires_in": 60})["token"]
    inbox, items = socketio.Client(), []
    inbox.on("item", items.append, namespace="/inbox")
    inbox.connect(
        f"http://127.0.0.1:{running.port}", auth={"token": token}, namespaces=["/inbox"], transports=["websocket"]
    )

    sent = running.call(
        "/api/v1/notifications",
        {
            "type": "order_shipped",
            "recipients": ["ann"],
            "channels": ["inapp", "email", "webhook"],
            "data": {"order_id": "A 42", "tracking_url": "https://track.test/42"},
        },
    )

    eventually(lambda: items)
    assert (items[0]["unread"], items[0]["seq"], items[0]["item"]["type"]) == (1, 1, "order_shipped")
    eventually(lambda: statuses(running, sent["id"]) == {"inapp": "delivered", "email": "sent", "webhook": "sent"})
    [mail] = mail_server.to("ann@example.test")
    assert "A 42" in mail["Subject"]
    assert mail["Message-ID"]
    assert mail["List-Unsubscribe"] is None  # transactional
    parts = {part.get_content_type(): part for part in mail.walk() if not part.is_multipart()}
    assert set(parts) == {"text/plain", "text/html"}
    assert {part["Content-Transfer-Encoding"] for part in parts.values()} <= {"7bit", "quoted-printable"}
    assert all("A 42" in part.get_content() for part in parts.values())
    assert "Bestell" in parts["text/plain"].get_content()

    [(headers, body)] = sink.requests
    verified = Webhook(address["secret"]).verify(body, headers)
    assert verified["type"] == "order_shipped"
    assert verified["data"]["order_id"] == "A 42"
    webhook = next(d for n in sent["notifications"] for d in n["deliveries"] if d["channel"] == "webhook")
    assert {name.lower(): value for name, value in headers.items()}["webhook-id"] == webhook["id"]
    inbox.disconnect()
    sink.shutdown()


def test_marketing_mail_can_be_left_with_one_click_and_a_scanner_changes_nothing(
    running: Up, mail_server: MailServer
) -> None:
    news = {
        "type": "newsletter",
        "recipients": [{"id": "nora", "email": "nora@example.test"}],
        "data": {"title": "News", "body": "Something new."},
    }
    running.call("/api/v1/notifications", news)
    [mail] = eventually(lambda: mail_server.to("nora@example.test"))
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = "/u/" + str(mail["List-Unsubscribe"]).strip("<>").rpartition("/u/")[2]
    assert path in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]

    assert running.page(path).status == 200
    again = running.call("/api/v1/notifications", {**news, "data": {"title": "More", "body": "Still here."}})
    assert statuses(running, again["id"])["email"] != "skipped"
    assert running.page(path, form={"List-Unsubscribe": "One-Click"}).status == 200
    last = running.call("/api/v1/notifications", {**news, "data": {"title": "Gone", "body": "Too late."}})
    assert statuses(running, last["id"])["email"] == "skipped"


def test_without_redis_everything_is_accepted_and_delivered_once_it_is_back(
    running: Up, own_redis: Redis, mail_server: MailServer
) -> None:
    recipients = {f"ada{n}": f"ada{n}@example.test" for n in range(20)}
    own_redis.stop()
    try:
        accepted = [
            running.call("/api/v1/notifications", order_placed(user, address)) for user, address in recipients.items()
        ]
        assert running.call("/readyz")["status"] == "degraded"
        assert {statuses(running, answer["id"])["email"] for answer in accepted} == {"queued"}
        assert {statuses(running, answer["id"])["inapp"] for answer in accepted} == {"delivered"}
    finally:
        own_redis.start()
    eventually(lambda: all(map(mail_server.to, recipients.values())))
    eventually(lambda: {statuses(running, answer["id"])["email"] for answer in accepted} == {"sent"})
    assert [len(mail_server.to(address)) for address in recipients.values()] == [1] * len(recipients)


def test_a_redis_that_forgot_everything_loses_nothing(running: Up, own_redis: Redis, mail_server: MailServer) -> None:
    client = redis.Redis.from_url(own_redis.url)
    accepted = [
        running.call("/api/v1/notifications", order_placed(f"eve{n}", f"eve{n}@example.test")) for n in range(20)
    ]
    client.flushall()
    eventually(lambda: {statuses(running, answer["id"])["email"] for answer in accepted} == {"sent"})
    assert [len(mail_server.to(f"eve{n}@example.test")) for n in range(20)] == [1] * 20


def test_a_failed_delivery_stands_in_rqs_failed_jobs_and_goes_out_when_retried(running: Up, own_redis: Redis) -> None:
    sent = running.call("/api/v1/notifications", order_placed("rex", "rejected@sandbox.test"))
    delivery = next(d["id"] for d in sent["notifications"][0]["deliveries"] if d["channel"] == "email")
    client = redis.Redis.from_url(own_redis.url)
    eventually(lambda: client.zscore("rq:failed:email.high", delivery) is not None)
    assert statuses(running, sent["id"])["email"] == "failed"
    # RQ's own command brings it back, and the delivery is tried once more.
    requeue = [
        sys.executable,
        "-m",
        "rq.cli",
        "requeue",
        "--queue",
        "email.high",
        "--url",
        own_redis.url,
        "-S",
        "rq.serializers.JSONSerializer",
        delivery,
    ]
    subprocess.run(requeue, check=True, capture_output=True, timeout=60)
    notification = sent["notifications"][0]["id"]
    eventually(
        lambda: (
            max(len(d["attempts"]) for d in running.call(f"/api/v1/notifications/{notification}")["deliveries"]) == 2
        )
    )


def test_nothing_secret_is_in_the_logs(running: Up) -> None:
    told = running.text()
    assert "ann@example.test" not in told
    assert json.dumps("A 42") not in told
    assert running.key not in told.replace("Authorization: Bearer " + running.key, "")


def test_smoke_and_load_in_short(running: Up, capsys: pytest.CaptureFixture[str]) -> None:
    """With a test key every channel is heard of; with a live one nothing is stored."""
    words = ["create-producer", "smoke", "--test", "--scope", "notify", "read", "users"]
    test_key = run_command(words, running.environment).stdout.splitlines()[-1]
    url = f"http://127.0.0.1:{running.port}"
    eventually(lambda: running.call("/readyz")["status"] == "ok")  # after the tests before

    assert smoke.judge(url, test_key) == 0
    told = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line for line in told if line[1] in CHANNELS and line[2] not in ("sent", "delivered")] == []
    assert {line[1] for line in told} >= set(CHANNELS)

    before = len(running.call("/api/v1/notifications?limit=100")["data"])
    assert smoke.judge(url, running.key) == 0
    assert len(running.call("/api/v1/notifications?limit=100")["data"]) == before
    assert smoke.judge(url, "ntf_live_wrong") == 1
    assert smoke.judge(f"http://127.0.0.1:{free_port()}", test_key) == 1

    load = pressure.Pressure(Target(url, test_key), ["inapp", "email"], size=20, clients=2)
    found = pressure.pressed(load, rate=100, burst=5, seconds=1, patience_s=180)
    assert (found["accepted"], found["refused"], found["drained_s"] is not None) == (120, 0, True)
    refused = pressure.Pressure(Target(url, "ntf_live_wrong"), ["email"], size=20, clients=2)
    assert pressure.pressed(refused, rate=40, burst=2, seconds=1, patience_s=1)["refused"] == 60
    told_of_load = capsys.readouterr().out
    assert [part for part in ("usual", "burst", "drained", "REFUSED 20 of 401") if part not in told_of_load] == []
