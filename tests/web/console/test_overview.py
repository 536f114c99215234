"""The admin's first page: what is waiting, and what is held back so that a large release floods nothing."""

import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.core.segments import Price
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import show
from notifier.ledgers import tallies
from notifier.models import Delivery, SyntheticTurn, Trend
from notifier.pipeline.delivery.deliver import deliver
from notifier.providers import accounts as providers
from notifier.providers import health, pausing
from tests.acme import Server, event, tell
from tests.stored import rows, store_newsletter
from tests.web.conftest import Visitor


def hold_back(count: int) -> None:
    notification = store_newsletter()
    with transaction() as session:
        common = {"notification_id": notification, "channel": "email", "priority": "low", "status": "waiting"}
        session.add_all(Delivery(**common, wake_at=now() - timedelta(minutes=1)) for _ in range(count))
        session.add(Delivery(**common, wake_at=now() + timedelta(minutes=1)))
    db.session.close()


def test_what_is_due_and_waits_for_its_turn_is_counted(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("viewer")
    assert "held back" not in admin.get("/admin/").text
    hold_back(3)
    assert "held back: 3 waiting for their turn" in admin.get("/admin/").text


def test_workers_that_died_without_a_word_are_not_counted_as_running(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    client = redis_store.client
    client.sadd("rq:workers", "rq:worker:dead", "rq:worker:gone")
    client.hset("rq:worker:dead", mapping={"last_heartbeat": "2020-01-01T00:00:00.000000Z"})
    assert "Nothing is being sent. Start one" in signed_in("viewer").get("/admin/").text


def test_what_stands_still_is_said_at_the_top(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    viewer = signed_in("viewer")
    assert "is paused</strong>" not in viewer.get("/admin/").text
    pausing.pause("sms")
    health.force("spare", "open")
    health.force("other", "closed")
    page = viewer.get("/admin/").text
    assert (
        "SMS has been paused</strong>" in page,
        "spare is stopped by hand" in page,
        "The breaker of other" in page,
    ) == (True, True, False)


def test_a_priority_whose_oldest_has_waited_too_long_is_late(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    client, viewer = redis_store.client, signed_in("viewer")
    for queue, at in (("sms.urgent", "2020-01-01T00:00:00.000000Z"), ("sms.low", f"{now():%Y-%m-%dT%H:%M:%S.%f}Z")):
        client.rpush(f"rq:queue:{queue}", f"job-{queue}")
        client.hset(f"rq:job:job-{queue}", "enqueued_at", at)
    rows = re.findall(r'<td class="strong">(Urgent|High|Medium|Low)</td>(.*?)</tr>', viewer.get("/admin/").text)
    assert {name: ">late<" in rest for name, rest in rows} == {
        "Urgent": True,
        "High": False,
        "Medium": False,
        "Low": False,
    }


SENDGRID = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_FROM": "Shop <shop@example.com>"}
KEY = {
    "SENDGRID_WEBHOOK_KEY": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL+3TzCmjbNzfabhWkWFf+joXhTKivqyznohHrlT5CU7FhAXrb8AD"
    "72h5AUVRSHr5slbLks0eTBmK3jv3VzNoaw=="
}
TRACKED = SENDGRID | KEY | {"SENDGRID_TRACKING": "on"}
SMTP = {"SMTP_URL": "smtp://127.0.0.1:2525"}


@pytest.mark.parametrize(
    ("accounts", "delivered", "opened"),
    [
        ({"mailer": ("sendgrid", TRACKED)}, '150 <span class="sub">75 %</span>', '50 <span class="sub">33 %</span>'),
        (
            {"mailer": ("sendgrid", SENDGRID | KEY)},
            '150 <span class="sub">75 %</span>',
            'title="mailer does not track what is opened.">50<',
        ),
        (
            {"mailer": ("sendgrid", SENDGRID)},
            'title="mailer could tell: set SENDGRID_WEBHOOK_KEY.">150<',
            'title="mailer could tell: set SENDGRID_WEBHOOK_KEY.">50<',
        ),
        (
            {"mailer": ("sendgrid", TRACKED), "spare": ("smtp", SMTP)},
            'title="spare cannot tell what is delivered.">150<',
            'title="spare cannot tell what is opened.">50<',
        ),
        (
            {},
            'title="No provider of this channel is in use.">150<',
            'title="No provider of this channel is in use.">50<',
        ),
    ],
)
def test_a_rate_is_shown_where_all_providers_of_the_channel_tell_it(
    signed_in: Callable[..., Visitor], accounts: dict[str, tuple[str, dict[str, str]]], delivered: str, opened: str
) -> None:
    for name, (adapter, options) in accounts.items():
        providers.add(name, adapter, options)
    with transaction():
        tallies.count({("email", "sent"): 200, ("email", "delivered"): 150, ("email", "opened"): 50})
    page = signed_in("viewer").get("/admin/").text
    assert (delivered in page, opened in page) == (True, True)


def test_where_nobody_can_tell_there_is_a_dash_with_the_reason(signed_in: Callable[..., Visitor]) -> None:
    providers.add("spare", "smtp", SMTP)
    with transaction():
        tallies.count({("email", "sent"): 200})
    page = signed_in("viewer").get("/admin/").text
    assert '<span title="spare cannot tell what is opened.">–</span>' in page


def test_what_is_told_of_real_messages_makes_the_rate(
    app: APIFlask, acme: Server, client: FlaskClient, cast: Any, submit: Any, signed_in: Callable[..., Visitor]
) -> None:
    """Two mails: one arrives and is opened by its reader, of the other a machine alone has fetched the pictures."""
    submit("alice", "bob", channels=("email",), priority="urgent")
    first, second = (row.id for row in rows(Delivery, status="queued"))
    deliver([first, second])
    told = [
        event(kind, delivery_id=show("dlv", key), by=by)
        for kind, key, by in (
            ("delivered", first, "unknown"),
            ("delivered", second, "unknown"),
            ("opened", first, "person"),
            ("opened", second, "machine"),
        )
    ]
    assert tell(client, *told).status_code == 200
    row = signed_in("viewer").get("/admin/").text.partition('id="channel-email"')[2].partition("</tr>")[0]
    assert re.findall(r'(\d+) <span class="sub">(\d+ %)</span>', row) == [("2", "100 %"), ("1", "50 %")]


@pytest.mark.parametrize("page", ["/admin/", "/admin/notifications"])
def test_an_empty_installation_shows_what_to_do_next(signed_in: Callable[..., Visitor], page: str) -> None:
    steps = signed_in("viewer").get(page).text.partition('<ol class="next-steps">')[2].partition("</ol>")[0]
    assert steps.count("<li>") == 3
    for path in ("/admin/producers", "/api/docs", "/admin/sandbox", "/admin/providers"):
        assert f'href="{path}"' in steps


def test_it_shows_how_the_synthetic_person_fares(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    viewer = signed_in("viewer")
    assert "Synthetic person" not in viewer.get("/admin/").text
    store_turns()
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", viewer.get("/admin/").text))
    assert "E-mail main 1 missing Order shipped is missing (queued) –" in page
    assert "E-mail sandbox 2 ok 1.2 s" in page
    assert "In-app inbox 1 ok 7 ms" in page


def test_metrics_tell_how_the_synthetic_person_fares(app: APIFlask) -> None:
    client = app.test_client()
    assert "notifier_synthetic" not in client.get("/metrics").text
    store_turns()
    told = client.get("/metrics").text.splitlines()
    assert 'notifier_synthetic_checks{channel="email",provider="main",state="missing"} 1.0' in told
    assert 'notifier_synthetic_checks{channel="email",provider="sandbox",state="missing"} 0.0' in told
    assert 'notifier_synthetic_seconds{channel="email",provider="sandbox"} 1.2' in told
    assert not [line for line in told if line.startswith("notifier_synthetic_seconds") and "main" in line]
    [overdue] = [float(line.split()[1]) for line in told if line.startswith("notifier_synthetic_overdue_seconds")]
    assert 120 <= overdue < 600


def store_turns() -> None:
    at = now()

    def heard(channel: str, state: str, ms: int | None = None, why: str | None = None) -> dict[str, Any]:
        return {"channel": channel, "state": state, "ms": ms, "why": why}

    with transaction() as session:
        session.add_all(
            [
                SyntheticTurn(
                    key="like",
                    type="like",
                    due_at=at - timedelta(minutes=2),
                    triggered_at=at,
                    results=[heard("inapp", "ok", 7), heard("email", "ok", 1200)],
                    so_far=[],
                ),
                SyntheticTurn(
                    key="order_shipped",
                    type="order_shipped",
                    due_at=at,
                    triggered_at=at,
                    results=[heard("email", "ok", 30)],
                    so_far=[heard("email", "waiting")],
                    is_open=True,
                ),
                SyntheticTurn(
                    key="@main",
                    type="order_shipped",
                    account="main",
                    due_at=at,
                    triggered_at=at,
                    results=[heard("email", "ok", 30)],
                    so_far=[heard("email", "missing", None, "queued")],
                ),
            ]
        )


def test_it_shows_promises_costs_and_what_rises(
    app: APIFlask, signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, at = signed_in("viewer"), now()
    with transaction() as session:
        tallies.count({("email", "kept:high"): 990, ("inapp", "kept:high"): 5, ("email", "missed:high"): 5})
        tallies.count({("email", "missed:low"): 2, ("sms", "segment"): 4, ("sms", "sent"): 2})
        row = {"grain": 600, "kind": "error", "name": "smtp: 5.1.1", "event": "failed"}
        session.add_all([Trend(at=at, count=30, **row), Trend(at=at - timedelta(hours=1), count=10, **row)])
        row = {"grain": 600, "kind": "type", "name": "like", "event": "arrived"}
        session.add_all([Trend(at=at, count=300, **row), Trend(at=at - timedelta(hours=1), count=200, **row)])
    priced = dataclasses.replace(app.extensions["settings"], sms_segment_price=Price.parse("0.075 EUR"))
    monkeypatch.setitem(app.extensions, "settings", priced)
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", viewer.get("/admin/").text))
    assert "High 5 s 0 – 99.5 % of 1,000 50 %" in page
    assert "Low 30 min 0 – 0 % of 2 100 times" in page
    assert "Urgent 1 s 0 – – –" in page
    assert "SMS: providers took 4 segments, 0.300 EUR at 0.075 EUR each." in page
    assert "smtp: 5.1.1 Error, failed 30 10" in page
    assert "300 200" not in page
