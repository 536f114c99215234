"""Status webhooks in the console: made, shown once, changed, tested, replayed, switched, deleted."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse, show
from notifier.models import AuditEntry, Subscription, SubscriptionAttempt
from tests.web.conftest import Visitor, seen_in

URL = "https://shop.example/hooks/very-secret-path"
_SECRET = re.compile(r'id="new-secret" readonly value="(whsec_[^"]+)"')
_PAGE = re.compile(r"/admin/subscriptions/(sbn_\w+)/state")


@pytest.fixture
def shop(app: APIFlask) -> str:
    return show("prd", create_producer("Shop").id)


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def page(admin: Visitor, shop: str) -> str:
    """The page of a new one."""
    return f"/admin/subscriptions/{_PAGE.search(make(admin, shop).text)[1]}"


def make(visitor: Visitor, shop: str, **form: Any) -> Any:
    given = {"producer": shop, "url": URL, "events": ["delivery.sent", "inbox.read"], "description": "", **form}
    return visitor.post("/admin/subscriptions", given)


def stored() -> list[Subscription]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Subscription).execution_options(populate_existing=True)))


def test_a_group_of_boxes_names_its_hint_and_what_is_wrong_with_it(admin: Visitor, shop: str) -> None:
    """A screen reader reads them out when it comes to the group."""
    page = make(admin, shop, events=["nothing of ours"]).text
    for described in ("types-hint", "events-fault"):
        assert f'<fieldset aria-describedby="{described}"' in page
        assert f'id="{described}"' in page


def test_one_is_made_and_its_secret_shown_once(admin: Visitor, shop: str) -> None:
    answer = make(admin, shop, types=["order_shipped"], description="The shop's own")
    secret = _SECRET.search(answer.text)
    assert secret
    assert answer.headers["Cache-Control"] == "no-store"
    (row,) = stored()
    assert (row.secret, row.url, row.kinds) == (secret[1], URL, ["delivery.sent", "inbox.read"])
    assert (row.types, row.description, row.key_id) == (["order_shipped"], "The shop's own", None)
    assert (row.sees_people, row.sees_all, row.is_test) == (False, False, False)
    listing = admin.get(f"/admin/subscriptions?producer={shop}").text
    assert "The shop&#39;s own" in listing
    for text in (
        listing,
        admin.get(f"/admin/subscriptions/{show('sbn', row.id)}").text,
        admin.get("/admin/audit").text,
    ):
        assert "very-secret-path" not in text
        assert secret[1] not in text
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "subscription.created")).one()
    assert entry.actor == "admin@example.test"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"url": ""}, "Enter the URL."),
    ({"url": "ftp://shop.example/"}, "http"),
    ({"url": "http://10.0.0.1/"}, "leads into a private network"),
    ({"url": f"https://shop.example/{'x' * 2_100}"}, "2048"),
    ({"events": []}, "Choose at least one event."),
    ({"events": ["user.unsubscribed"]}, "not a valid choice"),
    ({"types": ["nope"]}, "not a valid choice"),
    ({"producer": "prd_nope"}, "Not a valid choice"),
    ({"description": "x" * 201}, "200"),
    ({"description": "a\0b"}, "cannot be stored"),
]


def test_what_cannot_be_is_refused_beside_its_field(admin: Visitor, shop: str, subtests: pytest.Subtests) -> None:
    for form, said in REFUSED:
        with subtests.test(form=str(form)[:80]):
            answer = make(admin, shop, **form)
            assert answer.status_code == 422
            assert said in answer.text
            assert stored() == []


def test_a_change_keeps_the_url_that_is_not_shown(admin: Visitor, page: str) -> None:
    assert admin.post(page, {"url": "", "events": ["delivery.failed"], "description": "New"}).status_code == 303
    (row,) = stored()
    assert (row.url, row.kinds, row.description) == (URL, ["delivery.failed"], "New")
    admin.post(page, {"url": "https://other.example/", "events": ["delivery.failed"], "description": "New"})
    assert stored()[0].url == "https://other.example/"
    refused = admin.post(page, {"url": "https://127.0.0.1.nip.example:99999/", "events": ["delivery.failed"]})
    assert refused.status_code == 422
    assert stored()[0].url == "https://other.example/"


def test_events_that_need_a_keys_scopes_stay_as_they_are(admin: Visitor, page: str) -> None:
    with transaction() as session:
        session.execute(sa.update(Subscription).values(kinds=["user.*"], sees_people=True))
    assert "only a key may change them" in admin.get(page).text
    assert admin.post(page, {"url": "", "events": ["delivery.sent"], "description": "x"}).status_code == 303
    (row,) = stored()
    assert (row.kinds, row.sees_people, row.description) == (["user.*"], True, "x")


def test_one_that_is_for_pings_alone_may_be_changed(admin: Visitor, page: str) -> None:
    with transaction() as session:
        session.execute(sa.update(Subscription).values(kinds=["ping"]))
    assert admin.post(page, {"url": "", "description": "x"}).status_code == 303
    (row,) = stored()
    assert (row.kinds, row.description) == (["ping"], "x")


def test_it_is_switched_off_and_on(admin: Visitor, page: str) -> None:
    admin.post(f"{page}/state", {"state": "off"})
    assert stored()[0].disabled_reason == "asked"
    text = admin.get(page).text
    assert "switched off" in text
    assert "Send a ping" not in text
    admin.post(f"{page}/state", {"state": "on"})
    assert stored()[0].disabled_at is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"disabled_at": now(), "disabled_reason": "gone"}, "it answered 410 Gone"),
        ({"disabled_at": now(), "disabled_reason": "failing"}, "nothing but failures for five days"),
        ({"failing_since": now()}, "no success since"),
    ],
)
def test_pages_say_how_it_fares(admin: Visitor, page: str, columns: dict[str, Any], said: str) -> None:
    with transaction() as session:
        session.execute(sa.update(Subscription).values(**columns))
    assert said in admin.get(page).text
    assert said in admin.get("/admin/subscriptions").text


def test_a_ping_waits_for_a_worker_and_is_refused_while_it_is_off(admin: Visitor, page: str) -> None:
    admin.post(f"{page}/test")
    assert stored()[0].ping is not None
    admin.post(f"{page}/state", {"state": "off"})
    admin.post(f"{page}/test")
    assert "Nothing was sent" in admin.get(page).text


def test_events_are_sent_once_more_by_one_replay_at_a_time(admin: Visitor, page: str) -> None:
    assert admin.post(f"{page}/replay", {"span": "24"}).status_code == 303
    (row,) = stored()
    assert row.replay_since is not None
    assert timedelta(hours=23, minutes=59) < now() - row.replay_since < timedelta(days=1, minutes=5)
    assert "Being sent once more" in admin.get(page).text
    again = admin.post(f"{page}/replay", {"span": "24"})
    assert (again.status_code, "a replay is running" in again.text.lower()) == (422, True)
    assert admin.post(f"{page}/replay", {"span": "1000"}).status_code == 422


def test_a_new_secret_is_shown_once_and_the_one_before_signs_too(admin: Visitor, page: str) -> None:
    before = stored()[0].secret
    answer = admin.post(f"{page}/rotate-secret")
    shown = _SECRET.search(answer.text)
    assert shown
    (row,) = stored()
    assert (row.secret, row.previous_secret) == (shown[1], before)
    assert "by the new secret and by the one before" in admin.get(page).text
    assert shown[1] not in admin.get(page).text


def test_it_is_deleted_after_a_question(admin: Visitor, page: str) -> None:
    assert "Delete the status webhook" in admin.get(f"{page}/delete").text
    assert len(stored()) == 1
    assert admin.post(f"{page}/delete").location == "/admin/subscriptions"
    assert stored() == []
    assert admin.get(page).status_code == 404


def test_attempts_are_listed_newest_first_and_paged(admin: Visitor, page: str) -> None:
    key: UUID = parse("sbn", page.rsplit("/", 1)[1])
    with transaction() as session:
        rows = [
            {
                "id": new_id(),
                "subscription_id": key,
                "webhook_id": f"evt_{number}",
                "kind": "delivery.sent",
                "number": 2,
                "duration_ms": 1_234,
                "outcome": "failed",
                "code": "503",
                "message": f"answer {number}",
                "next_at": now(),
                "at": now(),
            }
            for number in range(51)
        ]
        session.execute(sa.insert(SubscriptionAttempt), rows)
    text = admin.get(page).text
    assert "answer 50" in text
    assert "answer 0<" not in text
    assert "1,234 ms" in text
    older = re.search(r'rel="next" href="([^"]+)"', text)
    assert older
    assert "answer 0<" in admin.get(older[1].replace("&amp;", "&")).text


def test_an_attempt_is_explained_without_the_secret_and_sent_once_more(
    admin: Visitor, signed_in: Callable[..., Visitor], page: str
) -> None:
    key: UUID = parse("sbn", page.rsplit("/", 1)[1])
    ping, missed = new_id(), new_id()
    with transaction() as session:
        shared = {"subscription_id": key, "at": now()}
        session.add(SubscriptionAttempt(id=missed, outcome="missed", **shared))
        sent = {"webhook_id": f"evt_{new_id().hex}", "kind": "ping", "number": 1, "duration_ms": 5}
        session.add(SubscriptionAttempt(id=ping, outcome="failed", code="503", message="not now", **sent, **shared))
    viewer, at = signed_in("viewer"), f"{page}/attempts/{show('att', ping)}"

    text = viewer.get(at).text

    assert [word for word in ("not now", "webhook-signature: v1,", "HMAC-SHA256") if word not in text] == []
    assert stored()[0].secret.removeprefix("whsec_") not in text
    assert "very-secret-path" not in text
    assert viewer.post(f"{at}/again").status_code == 403
    assert admin.post(f"{at}/again").status_code == 303
    assert stored()[0].ping is not None
    gone = f"{page}/attempts/{show('att', missed)}"
    assert "Events were deleted before they could be sent" in viewer.get(gone).text
    admin.post(f"{gone}/again")
    assert "no longer kept" in admin.get(page).text
    assert admin.get(f"{page}/attempts/{show('att', UUID(int=1))}").status_code == 404
    failures = admin.get(f"{page}?only=failed").text
    assert (at in failures, 'aria-current="page">Failures' in failures) == (True, True)


def test_one_that_is_not_there_is_not_found(admin: Visitor) -> None:
    nowhere = show("sbn", UUID(int=1))
    paths = ("sbn_nope", "nope", nowhere, f"{nowhere}/delete")
    assert [path for path in paths if admin.get(f"/admin/subscriptions/{path}").status_code != 404] == []


def test_a_list_of_what_is_not_there_is_not_found(admin: Visitor) -> None:
    queries = ("producer=prd_nope", "after=nope", f"producer={show('prd', UUID(int=1))}")
    assert [query for query in queries if admin.get(f"/admin/subscriptions?{query}").status_code != 404] == []


ROLES = [
    ("viewer", "test", 403),
    ("viewer", "state", 403),
    ("viewer", "replay", 403),
    ("operator", "test", 303),
    ("operator", "state", 303),
    ("operator", "", 403),
    ("operator", "rotate-secret", 403),
    ("operator", "delete", 403),
]


def test_roles(signed_in: Callable[..., Visitor], page: str, subtests: pytest.Subtests) -> None:
    visitors = {role: signed_in(role) for role in ("viewer", "operator")}
    for role, action, status in ROLES:
        with subtests.test(role=role, action=action):
            assert visitors[role].get(page).status_code == 200
            assert visitors[role].post(f"{page}/{action}".rstrip("/"), {"state": "off"}).status_code == status


def test_what_somebody_else_has_changed_meanwhile_is_not_undone(admin: Visitor, page: str) -> None:
    opened = {"events": ["delivery.sent", "inbox.read"], "description": "Mine", "seen": seen_in(admin.get(page).text)}
    admin.post(page, {"events": ["delivery.failed"], "description": "Theirs"})
    answer = admin.post(page, opened)
    assert (answer.status_code, "Somebody else has changed this webhook" in answer.text) == (422, True)
    assert [(row.kinds, row.description) for row in stored()] == [(["delivery.failed"], "Theirs")]
