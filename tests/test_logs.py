"""docs/logs.md lists every event that is logged, and the log of a whole process tells nobody's secrets."""

import contextlib
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import sqlalchemy as sa
import structlog
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.core.errors import Rejected
from notifier.core.message import Message, Receipt, Recipient
from notifier.ground import logs
from notifier.ground.config import ROOT
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import User
from notifier.people import addresses
from notifier.pipeline.delivery.deliver import deliver
from tests.acme import SECRET, Acme, Server, event, tell
from tests.conftest import Api
from tests.running import free_port

# Logged by a name that stands in a variable
BY_VARIABLE = {"sink.is_away", "sink.refuses"}
MARK = "hunter2"


def logged() -> set[str]:
    sources = [*(ROOT / "notifier").rglob("*.py"), ROOT / "wsgi.py"]
    calls = re.compile(
        r"^ .*(?:\blog\.(?:debug|info|warning|error|critical|exception)|self\._pause)\(\s*\"([a-z_.]+)\"", re.MULTILINE
    )
    return {event for source in sources for event in calls.findall(source.read_text())}


def test_the_documentation_lists_every_event_and_no_other() -> None:
    table = (ROOT / "docs" / "logs.md").read_text().partition("## All events")[2]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    assert sorted(re.findall(r"`([a-z_]+\.[a-z_]+)`", "".join(rows))) == sorted(logged() | BY_VARIABLE)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """All that this process writes to its log, which is set up as in production."""
    root, written = logging.getLogger(), []
    for place, name in (
        *((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")),
        *((root, "level"), (root, "handlers"), (logging, "raiseExceptions")),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))
    monkeypatch.setattr(root, "handlers", [])
    logs.configure(as_json=True, level="debug")
    structlog.configure(**{**structlog.get_config(), "cache_logger_on_first_use": False})

    def text() -> str:
        written.append(capsys.readouterr().err)
        return "".join(written)

    yield text
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(log: Callable[[], str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log().splitlines()]


def ids_in(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in ("request_id", "producer", "submission", "notification", "delivery")}


def test_each_stage_is_one_line_with_the_ids_of_the_ones_before(
    api: Api, acme: Server, client: FlaskClient, log: Callable[[], str]
) -> None:
    answer = api.post("/api/v1/notifications", _to("zoe"), headers={"X-Request-Id": "req-42"}).json
    [notification] = answer["notifications"]
    [delivery] = notification["deliveries"]
    deliver([parse("dlv", delivery["id"])])
    tell(client, event("delivered", provider_message_id="acme-1"))
    stages = {line["event"]: line for line in lines(log)}
    assert list(stages) == ["submission.accepted", "delivery.sent", "receipt.applied"]
    known = {"request_id": "req-42", "submission": answer["id"], "notification": notification["id"]}
    assert known.items() <= stages["submission.accepted"].items()
    assert ids_in(stages["delivery.sent"]) == ids_in(stages["receipt.applied"])
    assert {**known, "delivery": delivery["id"]}.items() <= stages["delivery.sent"].items()
    assert stages["delivery.sent"]["producer"] == stages["submission.accepted"]["producer"]


def test_each_item_of_a_bulk_call_is_a_line(api: Api, log: Callable[[], str]) -> None:
    items = [_to("zoe"), {**_to("yan"), "type": "no_such_type"}, _to("xia")]
    api.post("/api/v1/notifications/bulk", {"notifications": items})
    assert [(line["event"], line.get("code")) for line in lines(log)] == [
        ("submission.accepted", None),
        ("submission.rejected", "unknown_type"),
        ("submission.accepted", None),
    ]


class Broken(Acme):
    """Tells what it must not."""

    provider = "broken"

    def send(self, message: Message, to: Recipient) -> Receipt:
        raise ValueError(f"{self.options['ACME_SECRET']} {to.address} {message.content.body}")


def test_no_secret_and_no_address_is_logged(
    app: APIFlask, api: Api, acme: Server, client: FlaskClient, log: Callable[[], str]
) -> None:
    """Whatever is marked is somebody's: it goes in by every door, and comes back in errors."""
    # the API: a key, an address, data, an unknown type, a person's id in a path
    client.get("/api/v1/types", headers={"Authorization": f"Bearer ntf_live_{MARK}0123456789"})
    api.post("/api/v1/notifications", {**_to(f"{MARK}"), "type": MARK})
    api.get(f"/api/v1/users/{MARK}@example.test")
    # a provider that echoes, another one that breaks, a webhook whose URL is a secret
    acme.answer = {"dead": True, "text": f"{SECRET} {MARK}"}
    sent = api.post("/api/v1/notifications", _to(MARK, data={"order_id": f"code {MARK}"})).json
    deliver(_deliveries(sent))
    url = f"http://{MARK}:{MARK}@127.0.0.1:{free_port()}/{MARK}?token={MARK}"
    with contextlib.suppress(Rejected):
        addresses.add_given(MARK, "webhook", url, label=None)
    addresses.add_given(MARK, "webhook", f"http://127.0.0.1:{free_port()}/{MARK}?token={MARK}", label=None)
    deliver(_deliveries(api.post("/api/v1/notifications", _to(MARK, channels=["webhook"])).json))
    # providers' calls, sign-in
    tell(client, {**event("delivered"), "detail": {"to": f"{MARK}@example.test"}}, headers={"Acme-Signature": MARK})
    client.get(f"/login/link/{MARK}")
    client.post("/login", data={"email": f"{MARK}@example.test", "password": MARK})
    client.get(f"/u/{MARK}")
    # errors of Python, of the database, of Redis, in threads and in finalizers; lines of libraries
    with app.test_request_context(f"/u/{MARK}"):
        app.log_exception(_raised(lambda: {}[MARK]))
    _say(lambda: Broken({"ACME_SECRET": MARK}, None).send(None, Recipient(MARK)))  # type: ignore[arg-type]
    _say(lambda: [db.session.execute(sa.insert(User), {"id": f"{MARK}@example.test"}) for _ in range(2)])
    db.session.rollback()
    _say(lambda: db.session.execute(sa.text(f"SELECT CAST('{MARK}' AS INTEGER) + 'x' || no_such_{'column'}")))
    db.session.rollback()
    _say(lambda: redis.Redis.from_url(f"redis://:{MARK}@127.0.0.1:{free_port()}/0").ping())
    thread = threading.Thread(target=lambda: {}[MARK])
    thread.start()
    thread.join()
    logging.getLogger("library").warning("redis://:%s@localhost, https://example.test/%s?%s", MARK, MARK, MARK)
    logging.getLogger("library").error("Authorization: Bearer %s", MARK, exc_info=_raised(lambda: {}[MARK]))
    warnings.warn(f"https://example.test/{MARK}", stacklevel=1)

    events = [line["event"] for line in lines(log)]
    assert {"submission.rejected", "submission.accepted", "delivery.try_failed", "thread.broke"} <= set(events)
    assert {"request.failed", "tried", "hooks.not_taken"} <= set(events)
    assert [line for line in log().splitlines() if MARK in line] == []


def _to(person: str, **fields: Any) -> dict[str, Any]:
    body = {"type": "order_shipped", "data": {"order_id": "A1"}, "channels": ["email"], "dedupe": False}
    return {**body, "recipients": [{"id": person, "email": f"{person}@example.test"}], **fields}


def _deliveries(answer: dict[str, Any]) -> list[Any]:
    return [parse("dlv", one["id"]) for notification in answer["notifications"] for one in notification["deliveries"]]


def _raised(what: Callable[[], object]) -> Any:
    try:
        what()
    except Exception:
        return sys.exc_info()
    pytest.fail("it raised nothing")


def _say(what: Callable[[], object]) -> None:
    structlog.get_logger().error("tried", exc_info=_raised(what))
