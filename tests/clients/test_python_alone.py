"""`notifier-client`, from its wheel, where no installation is needed."""

import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from notifier.api.openapi import VERSION as API_VERSION
from notifier.channels.wire import standard_webhooks
from notifier.ground.config import ROOT
from notifier.ground.version import VERSION
from tests.running import free_port
from tests.wire import AGAIN, FOREIGN, Wire

WireTo = Callable[[str | None], Wire]
KEY = "ntf_live_0123456789abcdefghijklmnop"


@pytest.mark.slow
def test_it_waits_as_long_as_it_is_told_and_no_longer_than_it_may(client_package: Any, wire_to: WireTo) -> None:
    wire = wire_to(None)
    client = client_package.Client(wire.url, key=KEY, patience_s=60)
    wire.faults = [(429, {"Retry-After": "3600"})]
    with pytest.raises(client_package.RateLimited) as limited:
        client.send("like", "alice", {"actor": "Bob"}, idempotency_key="mine")
    assert (limited.value.retry_after, limited.value.idempotency_key) == (3600, "mine")
    wire.faults = [(503, {"Retry-After": "1"})]
    began = time.monotonic()
    with pytest.raises(client_package.NotFound) as refused:  # of a server that is none of Notifier's
        client.send("like", "alice")
    assert time.monotonic() - began >= 1
    assert refused.value.code == "http_404"
    wire.faults = [(503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})]
    with pytest.raises(client_package.ServerError) as later:
        client.send("like", "alice")
    assert 60 < later.value.retry_after <= 3600
    hurried = client_package.Client(wire.url, key=KEY, patience_s=0)
    wire.faults = [(503, {})]
    with pytest.raises(client_package.ServerError):
        hurried.send("like", "alice")
    with pytest.raises(client_package.Unreachable):
        client_package.Client(f"http://127.0.0.1:{free_port()}", key=KEY, patience_s=0).send("like", "alice")


@pytest.mark.parametrize("body", FOREIGN)
def test_a_proxys_refusal_is_a_problem_whatever_it_says(client_package: Any, wire_to: WireTo, body: bytes) -> None:
    wire = wire_to(None)
    wire.faults = [(400, {}, body)]
    with pytest.raises(client_package.BadRequest) as refused:
        client_package.Client(wire.url, key=KEY).send("like", "alice")
    assert (refused.value.code, refused.value.suggestion) == ("http_400", None)


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, {}])
def test_a_page_is_no_answer(client_package: Any, wire_to: WireTo, headers: dict[str, str]) -> None:
    """Of a proxy that asks for a sign-in, or of whatever else is at that address."""
    wire = wire_to(None)
    wire.faults = [(200, headers, b"<!doctype html>")]
    with pytest.raises(client_package.Unreachable, match="it is not Notifier") as told:
        client_package.Client(wire.url, key=KEY).send("like", "alice", idempotency_key="mine")
    assert told.value.idempotency_key == "mine"


def test_a_cut_connection_is_tried_again_with_tls_too_and_a_server_without_tls_is_not(client_package: Any) -> None:
    answers = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        client = client_package.Client(f"https://127.0.0.1:{server.getsockname()[1]}", key=KEY)
        with pytest.raises(client_package.Unreachable, match="SSLError"):
            client.send("like", "alice")
        serving.join(60)
        assert not serving.is_alive()


def test_a_key_follows_no_redirect(client_package: Any, wire_to: WireTo) -> None:
    wire, other = wire_to(None), wire_to(None)
    for status in (301, 307, 308):
        wire.faults = [(status, {"Location": other.url})]
        with pytest.raises(client_package.Problem, match=re.escape(f"redirected to {other.url}")):
            client_package.Client(wire.url, key=KEY).send("like", "alice")
    assert other.seen == []


def test_no_call_is_larger_than_the_api_takes(client_package: Any) -> None:
    chunks = sys.modules["notifier_client.client"]._chunks  # type: ignore[attr-defined]
    long = {"type": "like", "recipients": ["alice"], "data": {"actor": "ä" * 200_000}}
    assert [len(part) for part in chunks([long] * 5, 1_000)] == [2, 2, 1]
    assert [len(part) for part in chunks([{"type": "like"}] * 2_001, 5_000)] == [1_000, 1_000, 1]
    assert list(chunks([], 1_000)) == []


def test_secrets_are_in_no_text_of_it(client_package: Any, wire_to: WireTo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire = wire_to(None)
    said = []
    for credentials in ({"key": KEY}, {"client_id": KEY[:16], "client_secret": KEY}):
        client = client_package.Client(wire.url, **credentials)
        wire.faults = [AGAIN]
        with pytest.raises(client_package.NotFound) as refused:
            client.send("like", "alice")
        said += [repr(client), repr(client._transport._token), repr(refused.value), str(refused.value), caplog.text]
    assert "try 2" in caplog.text
    assert [text for text in said if KEY in text] == []


@pytest.mark.parametrize(
    "given",
    [
        {"url": "notifier.example", "key": "k"},
        {"url": "https://notifier.example:port", "key": "k"},
        {"url": "https://user:password@notifier.example", "key": "k"},
        {"url": "https://notifier.example"},
        {"url": "https://notifier.example", "client_id": "i"},
        {"url": "https://notifier.example", "key": "k", "client_id": "i", "client_secret": "s"},
    ],
)
def test_a_client_that_could_not_work_is_not_made(client_package: Any, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"needed|either|Port"):
        client_package.Client(**given)


SECRET = standard_webhooks.new_secret()
BODY = '{"type":"delivery.sent","timestamp":"2026-11-30T08:00:00Z","data":{"user":"jörg"}}'


def signed(secret: str = SECRET, *, body: str = BODY, minutes: int = 0) -> dict[str, str]:
    return standard_webhooks.headers("evt_1", body, [secret], datetime.now(UTC) - timedelta(minutes=minutes))


def test_a_webhook_of_the_product_is_verified(client_package: Any) -> None:
    told = client_package.verify_webhook(SECRET, BODY.encode(), {k.title(): v for k, v in signed().items()})
    assert told["data"] == {"user": "jörg"}


@pytest.mark.parametrize(
    ("signature", "changes"),
    [
        ({}, {"body": BODY.replace("jörg", "ann")}),
        ({"secret": standard_webhooks.new_secret()}, {}),
        ({"minutes": 6}, {}),
        ({"minutes": -60}, {}),
        ({}, {"webhook-id": ""}),
        ({}, {"webhook-signature": "nonsense"}),
        ({}, {"webhook-signature": "v1,ü"}),
        ({}, {"webhook-timestamp": "soon"}),
        ({}, {"body": b"\xff"}),
        ({"body": "[]"}, {"body": "[]"}),
    ],
    ids=lambda given: " ".join(given) or "as it is",
)
def test_another_webhook_is_refused(client_package: Any, signature: dict[str, Any], changes: dict[str, Any]) -> None:
    headers = {"body": BODY, **signed(**signature), **changes}
    with pytest.raises(client_package.BadSignature):
        client_package.verify_webhook(SECRET, headers.pop("body"), headers)


def test_its_version_is_that_of_the_product_and_its_api(client_package: Any) -> None:
    assert client_package.VERSION == VERSION
    assert VERSION.startswith(f"{API_VERSION}.")


def test_it_brings_its_licence(wheel: Path) -> None:
    [held] = wheel.glob("*.dist-info/licenses/LICENSE")
    assert held.read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.slow
def test_it_is_typed_as_it_says(wheel: Path, tmp_path: Path) -> None:
    """mypy over the package, and over a program that uses it rightly and wrongly."""
    program = tmp_path / "program.py"
    program.write_text(
        "from notifier_client import Client\n"
        'client = Client("https://notifier.example", key="k")\n'
        'sent = client.send("like", "ann", priority="high", channels=["inapp"])\n'
        "print(sent['id'].upper())\n"
        'client.send("like", "ann", priority="soon")\n'
        'client.send("like", "ann", chanels=["inapp"])\n'
        "print(sent['ident'])\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, str(wheel / "notifier_client"), str(program)], cwd=wheel, capture_output=True, text=True
    )
    assert [int(line) for line in re.findall(r"program\.py:(\d+): error", done.stdout)] == [5, 6, 7], done.stdout
    assert done.stdout.count("error") == 3
