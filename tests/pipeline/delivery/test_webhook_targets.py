"""Addresses that were stored before a list of webhook targets left them out: kept, not sent to, and said why."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.access import keys, producer_limits
from notifier.core.submission import InlineRecipient
from notifier.ground.target_lists import INSTALLATION, TargetList
from notifier.models import Attempt
from notifier.people import addresses
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.item import Caller
from notifier.queries import webhook_targets
from tests.stored import deliveries, rows

Submit = Callable[..., Any]


@pytest.fixture
def hook() -> Iterator[tuple[str, list[str]]]:
    """→ its URL, by a name that has to be looked up, and the paths that were called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            called.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/hook", called
    server.shutdown()
    server.server_close()


def send(submit: Submit, *channels: str) -> list[tuple[str, str, str | None, str | None]]:
    submit("eve", channels=channels or ("webhook",), routing="first")
    deliver([row.id for row in deliveries() if row.status == "queued"])
    deliver([row.id for row in deliveries() if row.status == "queued"])
    return [(row.channel, row.status, row.reason, row.code) for row in deliveries()[-len(channels or "1") :]]


def test_only_what_all_lists_name_is_called(
    app: APIFlask, submit: Submit, caller: Caller, hook: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, called = hook
    submit(InlineRecipient("eve", {"email": "eve@sandbox.test"}), channels=("inapp",))
    address, _ = addresses.add_given("eve", "webhook", url, label=None)
    assert caller.producer_id is not None
    assert send(submit) == [("webhook", "sent", None, None)]

    producer_limits.change(caller.producer_id, {"webhook_targets": ["other.test"]})
    assert send(submit) == [("webhook", "skipped", "target_not_listed", None)]
    assert deliveries()[-1].detail["because"] == "producer"
    assert send(submit, "webhook", "email")[-1][:2] == ("email", "delivered")  # the next channel takes over

    producer_limits.change(caller.producer_id, {"webhook_targets": ["192.0.2.0/24"]})  # the name has to be looked up
    assert send(submit) == [("webhook", "failed", None, "target_not_listed")]
    assert "producer's list of webhook targets" in rows(Attempt)[-1].message

    producer_limits.change(caller.producer_id, {"webhook_targets": ["127.0.0.0/8", "::1"]})
    assert send(submit) == [("webhook", "sent", None, None)]

    settings = replace(app.extensions["settings"], webhook_targets=TargetList.parse(INSTALLATION, ["other.test"]))
    monkeypatch.setitem(app.extensions, "settings", settings)
    assert send(submit) == [("webhook", "skipped", "target_not_listed", None)]
    assert deliveries()[-1].detail["because"] == "installation"
    assert called == ["/hook"] * 2
    assert webhook_targets.leaving_out("webhook", url) == ["all producers"]
    assert [row.id for row in rows(addresses.Address) if row.channel == "webhook"] == [address.id]


def test_a_producers_list_is_no_other_producers(app: APIFlask, submit: Submit, caller: Caller, hook: Any) -> None:
    other = keys.create_producer("Other")
    producer_limits.change(other.id, {"webhook_targets": []})
    submit(InlineRecipient("eve", {"name": "Eve"}), channels=("inapp",))
    addresses.add_given("eve", "webhook", hook[0], label=None)
    assert send(submit) == [("webhook", "sent", None, None)]
    assert webhook_targets.leaving_out("webhook", hook[0]) == ["Other"]
