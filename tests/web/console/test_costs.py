"""What messages cost, on the page, as CSV, and beside a broadcast: from what the stream's reader has counted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.channels.receipts import Event as Told
from notifier.core.segments import Price
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers.tallies import SEGMENT
from notifier.models import Delivery, SpendDay, Tally, UsageMonth
from notifier.pipeline.delivery import receipts
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import trends
from notifier.queries import costs
from tests.stored import deliveries, rows
from tests.web.conftest import Visitor

DECEMBER = datetime(2026, 12, 9, 9, 5, tzinfo=UTC)
MONTH = date(2026, 12, 1)


@pytest.fixture(autouse=True)
def prices(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    by_channel = {"email": Price(Decimal("0.0004"), "EUR")}
    settings = replace(
        app.extensions["settings"], sms_segment_price=Price(Decimal("0.10"), "EUR"), message_prices=by_channel
    )
    monkeypatch.setitem(app.extensions, "settings", settings)


@pytest.fixture
def december() -> Any:
    with time_machine.travel(DECEMBER, tick=False):
        yield


def used(type_: str, channel: str, provider: str, count: int, month: date = MONTH) -> None:
    with transaction() as session:
        session.add(UsageMonth(month=month, type=type_, channel=channel, provider=provider, count=count))


def test_what_providers_took_is_counted_by_month_from_the_stream(
    app: APIFlask, submit: Callable[..., Any], december: None
) -> None:
    trends.count()
    submit(InlineRecipient("u1", {"email": "late@sandbox.test"}), channels=("email",))
    submit(InlineRecipient("u2", {"email": "rejected@sandbox.test"}), channels=("email",))
    db.session.close()
    deliver([row.id for row in rows(Delivery) if row.status == "queued"])
    for _ in range(2):  # each event counts once
        while trends.count():
            pass
    found = {(row.month, row.type, row.channel, row.provider): row.count for row in rows(UsageMonth)}
    assert found == {(MONTH, "order_shipped", "email", "sandbox"): 1}


@pytest.mark.parametrize(
    ("status", "calls", "number"),
    [
        ("unknown", [("sent",)], 1),
        ("unknown", [("sent", "delivered")], 1),
        ("unknown", [("sent",), ("delivered",)], 1),
        ("unknown", [("delivered", "opened")], 1),
        ("unknown", [("opened",), ("clicked",)], 1),
        ("unknown", [("bounced",)], 1),
        ("unknown", [("sent", "bounced")], 1),
        ("unknown", [("delivered",), ("bounced",)], 1),
        ("unknown", [("failed",)], 0),
        ("waiting", [("sent", "delivered")], 1),
        ("queued", [("sent",), ("delivered",)], 1),
    ],
)
def test_what_a_provider_took_counts_once_however_it_tells(
    app: APIFlask,
    submit: Callable[..., Any],
    december: None,
    status: str,
    calls: list[tuple[str, ...]],
    number: int,
) -> None:
    """Of a message of which nobody knew whether it had gone out; all in the same second, as many providers tell."""
    trends.count()
    submit(InlineRecipient("u1", {"email": "u1@example.test"}), channels=("email",))
    [row] = deliveries(channel="email")
    with transaction() as session:
        session.execute(sa.text(f"UPDATE delivery SET status = '{status}', provider = 'acme', tries = 1"))
    for kinds in calls:
        told = tuple(Told(kind, kind, DECEMBER, delivery_id=show("dlv", row.id)) for kind in kinds)  # type: ignore[arg-type]
        receipts.submit(receipts.Call("acme", "email", told, DECEMBER))
        while trends.count():
            pass
    assert sum(one.count for one in rows(UsageMonth)) == number


def test_the_page_shows_types_channels_months_and_what_is_unknown(
    december: None, signed_in: Callable[..., Visitor]
) -> None:
    used("newsletter", "email", "smtp", 250_000)
    used("order_shipped", "sms", "twilio", 10)
    used("order_shipped", "sms", "spare", 10)
    used("order_shipped", "push", "fcm", 5)
    used("order_shipped", "email", "sandbox", 999)
    used("newsletter", "email", "smtp", 10_000, date(2026, 11, 1))
    with transaction() as session:
        session.add(Tally(at=DECEMBER, channel="sms", event=SEGMENT, count=30))
        session.add(SpendDay(producer_id=UUID(int=1), day=MONTH, amount=1))

    month = costs.month(MONTH)

    assert [(line.type, line.channel, line.messages, line.cost) for line in month.types] == [
        ("newsletter", "email", 250_000, Decimal("100.0000")),
        ("order_shipped", "sms", 20, Decimal("3.000")),
        ("order_shipped", "push", 5, None),
    ]
    assert [(line.account, line.messages, line.cost) for line in month.accounts] == [
        ("smtp", 250_000, Decimal("100.0000")),
        ("spare", 10, Decimal("1.500")),
        ("twilio", 10, Decimal("1.500")),
        ("fcm", 5, None),
    ]
    assert (month.total, month.segments) == (Decimal("103.0000"), Decimal("1.5"))
    viewer = signed_in("viewer")
    text = " ".join(viewer.get("/admin/costs").text.split())
    said = ("100.0000 EUR", "about 30 segments", "unknown", "103.0000 EUR", "0.000001 EUR", "arithmetic, not a bill")
    assert [one for one in (*said, "spare", "1.5000 EUR") if one not in text] == []
    november = " ".join(viewer.get("/admin/costs?month=2026-11").text.split())
    assert "<strong>4.0000 EUR</strong>" in november
    assert viewer.get("/admin/costs?month=nope").status_code == 200
    lines = viewer.get("/admin/costs/csv?month=2026-12").text.splitlines()
    assert lines[:3] == [
        "month,type,channel,account,messages,units,price,cost,currency",
        "2026-12,newsletter,email,smtp,250000,250000.00,0.0004,100.0000,EUR",
        "2026-12,order_shipped,sms,spare,10,15.00,0.10,1.500,EUR",
    ]


def test_a_month_costs_the_same_among_the_others_as_by_itself(december: None) -> None:
    """Also on the first day of the next one, when nothing has been counted yet."""
    november = date(2026, 11, 1)
    used("order_shipped", "sms", "twilio", 10, november)
    with transaction() as session:
        session.add(Tally(at=datetime(2026, 11, 30, 23, tzinfo=UTC), channel="sms", event=SEGMENT, count=20))
        session.add(Tally(at=datetime(2026, 12, 1, 0, tzinfo=UTC), channel="sms", event=SEGMENT, count=500))
    used("order_shipped", "sms", "twilio", 100)
    totals = dict(costs.totals())
    assert {begin: totals[begin] for begin in (november, MONTH)} == {november: Decimal(2), MONTH: Decimal(50)}
    assert {begin: costs.month(begin).total for begin in costs.months()} == totals


def test_without_prices_the_page_says_which_settings_are_missing(
    app: APIFlask, december: None, signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(app.extensions["settings"], sms_segment_price=None, voice_call_price=None, message_prices={})
    monkeypatch.setitem(app.extensions, "settings", settings)
    used("newsletter", "email", "smtp", 3)
    page = signed_in("viewer").get("/admin/costs").text
    assert "MESSAGE_PRICES" in page
    assert "0.0000" not in page  # nobody knows what it cost


def test_a_broadcast_costs_what_was_taken_of_it(app: APIFlask, december: None) -> None:
    counts = {
        "email": {"sent": 5, "delivered": 3, "opened": 1, "bounced": 1, "failed": 7, "queued": 9},
        "inapp": {"delivered": 9},
        "sms": {"failed": 2},
    }
    [line] = costs.of_broadcast(counts, "2026-12-01T09:00:00Z")
    assert (line.channel, line.messages, line.cost) == ("email", 10, Decimal("0.0040"))


def test_the_last_months_are_thirteen(december: None) -> None:
    months = costs.months()
    assert (months[0], months[1], months[-1], len(months)) == (MONTH, date(2026, 11, 1), date(2025, 12, 1), 13)
