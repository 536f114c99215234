"""What the console shows of an account's receipts: its hook, how that fares, and what its provider refuses."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.channels import serving
from notifier.channels.serving import Account
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Attempt, Delivery, Receipt
from notifier.providers import accounts as providers
from notifier.queries import hooks
from notifier.queries.hooks import Codes
from notifier.signals import hook_health
from tests.stored import store_newsletter
from tests.web.conftest import Visitor

KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL+3TzCmjbNzfabhWkWFf+joXhTKivqyznohHrlT5CU7FhAXrb8AD72h5AUVRSHr5"
    "slbLks0eTBmK3jv3VzNoaw=="
)
OPTIONS = {"SENDGRID_API_KEY": "SG.s3cret", "SENDGRID_FROM": "Shop <shop@example.com>"}
VERIFIED = {**OPTIONS, "SENDGRID_WEBHOOK_KEY": KEY}
PAGE, LIST = "/admin/providers/mailer", "/admin/providers"


@pytest.fixture
def viewer(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("viewer")


@pytest.fixture
def mailer(app: APIFlask) -> str:
    providers.add("mailer", "sendgrid", VERIFIED)
    return "mailer"


@pytest.fixture
def of_environment(app: APIFlask) -> Iterator[Callable[[dict[str, str]], None]]:
    def call(options: dict[str, str]) -> None:
        serving.registry().configure([Account("mailer", "sendgrid", options)])

    yield call
    serving.registry().configure(())


def test_the_page_has_the_url_to_enter_at_the_provider_and_what_it_can_tell(viewer: Visitor, mailer: str) -> None:
    page = viewer.get(PAGE).text
    assert 'value="http://localhost/hooks/mailer" readonly' in page
    assert "sent, delivered, opened, clicked, bounced, failed, complained, unsubscribed" in page
    assert "nothing yet" in page
    assert "without receipts" not in page
    assert "none yet" in viewer.get(LIST).text


@pytest.mark.parametrize("is_of_environment", [False, True])
def test_who_sends_without_receipts_although_it_could_is_named_with_what_is_missing(
    viewer: Visitor, of_environment: Callable[[dict[str, str]], None], is_of_environment: bool
) -> None:
    if is_of_environment:
        of_environment(OPTIONS)
    else:
        providers.add("mailer", "sendgrid", OPTIONS)
    assert "mailer sends without receipts: set SENDGRID_WEBHOOK_KEY." in viewer.get(PAGE).text
    assert "SENDGRID_WEBHOOK_KEY not set" in viewer.get(LIST).text


def test_an_account_of_the_environment_is_shown_alike(
    viewer: Visitor, of_environment: Callable[[dict[str, str]], None]
) -> None:
    of_environment(VERIFIED)
    hook_health.note_events("mailer", ["opened"], now())
    page = viewer.get(PAGE).text
    assert ("/hooks/mailer" in page, "without receipts" in page, ": opened </dd>" in page) == (True, False, True)


def test_an_account_that_is_not_in_use_takes_no_receipts(viewer: Visitor) -> None:
    providers.add("mailer", "sendgrid", VERIFIED, is_on=False)
    assert "mailer is not in use: its receipts are not taken." in viewer.get(PAGE).text


def test_a_provider_that_tells_nothing_has_no_url(viewer: Visitor) -> None:
    providers.add("mailer", "smtp", {"SMTP_URL": "smtp://127.0.0.1:2525"})
    page = viewer.get(PAGE).text
    assert ("SMTP tells nothing of a message afterwards" in page, "/hooks/" in page) == (True, False)
    assert 'title="SMTP tells nothing afterwards"' in viewer.get(LIST).text


def test_the_last_events_and_the_calls_that_were_not_taken_are_shown(viewer: Visitor, mailer: str) -> None:
    hook_health.note_events(mailer, ["delivered", "bounced"], now())
    assert '<span class="state good">on</span>' in viewer.get(LIST).text
    hook_health.note_refused(mailer, "the signature is <wrong>", "refused")
    hook_health.note_refused(mailer, "it is about another account", "misdirected")
    page = viewer.get(PAGE).text
    for words in (
        "bounced, delivered",
        "Refused calls",
        "1 in 24 hours",
        ": the signature is &lt;wrong&gt;.",
        "check SENDGRID_WEBHOOK_KEY",
        "Meant for another hook",
        ": it is about another account.",
    ):
        assert words in page
    assert "Unreadable calls" not in page
    assert "2 not taken" in viewer.get(LIST).text


def test_without_redis_all_else_is_shown(viewer: Visitor, mailer: str, redis_away: None) -> None:
    page = viewer.get(PAGE).text
    assert ("/hooks/mailer" in page, "nothing is known of the calls to it" in page) == (True, True)
    assert viewer.get(LIST).status_code == 200


def refuse(*attempts: tuple[str, str | None, float], told: tuple[tuple[str, str | None, float], ...] = ()) -> None:
    """Attempts (outcome, code) and receipts (kind, code) of `mailer`, so many hours ago."""
    notification = store_newsletter()
    with transaction() as session:
        delivery = Delivery(notification_id=notification, channel="email", priority="low", status="failed")
        session.add(delivery)
        session.flush()
        for number, (outcome, code, hours) in enumerate(attempts, 1):
            common: dict[str, Any] = {"provider": "mailer", "duration_ms": 3, "at": now() - timedelta(hours=hours)}
            session.add(Attempt(delivery_id=delivery.id, number=number, outcome=outcome, code=code, **common))
        session.add(
            Attempt(delivery_id=delivery.id, number=99, outcome="permanent", code="1", **common | {"provider": "other"})
        )
        for number, (kind, code, hours) in enumerate(told):
            at = now() - timedelta(hours=hours)
            session.add(
                Receipt(
                    provider="mailer",
                    channel="email",
                    event_id=str(number),
                    status=kind,
                    code=code,
                    at=at,
                    received_at=at,
                )
            )
    db.session.close()


def seen(codes: Codes) -> list[tuple[bool, str, str, int]]:
    return [(line.is_told, line.what, line.code, line.count) for line in codes.lines]


def test_what_was_refused_in_the_last_day_is_counted_by_code_at_once_and_later(viewer: Visitor, mailer: str) -> None:
    refuse(
        ("sent", None, 1),
        ("rate_limited", "429", 1),
        ("permanent", "from", 2),
        ("rate_limited", "429", 3),
        ("retryable", None, 3),
        ("rate_limited", "429", 25),
        told=(("delivered", None, 1), ("bounced", "550", 1), ("bounced", "550", 2), ("bounced", "551", 30)),
    )
    found = hooks.codes("mailer")
    assert seen(found) == [
        (True, "bounced", "550", 2),
        (False, "rate_limited", "429", 2),
        (False, "permanent", "from", 1),
        (False, "retryable", "", 1),
    ]
    assert found.are_all
    assert (now() - found.lines[1].last_at) < timedelta(hours=2)
    page = viewer.get(PAGE).text
    assert '<code>550</code></td> <td>bounced</td> <td>by a receipt</td> <td class="number">2</td>' in page
    assert "<code>429</code></td> <td>rate limited</td> <td>at once</td>" in page


def test_a_provider_that_refuses_everything_is_counted_up_to_a_limit(
    app: APIFlask, mailer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "MOST_COUNTED", 3)
    refuse(*[("permanent", "old", 5.0)] * 3, *[("permanent", "new", 1.0)] * 2)
    found = hooks.codes("mailer")
    assert (seen(found), found.are_all) == (
        [(False, "permanent", "new", 2), (False, "permanent", "old", 1)],
        False,
    )


def test_of_nothing_refused_it_says_nothing(viewer: Visitor, mailer: str) -> None:
    assert hooks.codes("mailer") == Codes([], are_all=True)
    assert '<p class="empty">Nothing.</p>' in viewer.get(PAGE).text


def test_they_are_counted_by_indexes_that_hold_nothing_else(app: APIFlask, mailer: str) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("of PostgreSQL, with much stored: tests/web/test_query_plans.py")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    hooks.codes("mailer")
    sa.event.remove(db.engine, "before_cursor_execute", note)
    [(statement, parameters)] = [one for one in asked if "SELECT" in one[0]]
    plan = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    text = " ".join(row.detail for row in plan)
    assert "ix_attempt_refusal (provider=? AND at>?)" in text
    assert "ix_receipt_refusal (provider=? AND received_at>?)" in text
    assert "SCAN attempt" not in text
