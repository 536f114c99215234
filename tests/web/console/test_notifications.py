"""Any notification: found by what somebody knows of it, and told in order."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import keys
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse, show
from notifier.models import Attempt, AuditEntry, Delivery, EventType, InboxItem, Notification, Receipt
from notifier.models import Submission as SubmissionRow
from notifier.people import preferences as choices
from notifier.people import profiles
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Caller, Item
from notifier.queries import notifications, search
from tests.stored import store_newsletter
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


@pytest.fixture
def viewer(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("viewer")


@pytest.fixture
def sent(send: Send) -> str:
    """The id of a delivery that has arrived."""
    [delivery] = send("ann", email="ann@sandbox.test", channels=("email",))
    return str(delivery.shown_id)


def notification() -> Notification:
    db.session.rollback()
    [row] = db.session.scalars(sa.select(Notification))
    return row


@pytest.mark.parametrize("of", ["notification", "delivery", "submission", "provider"])
def test_any_id_finds_it(viewer: Visitor, sent: str, of: str) -> None:
    row = notification()
    with transaction() as session:
        session.execute(sa.update(Delivery).values(provider_message_id="<abc@mail.test>"))
    text = {
        "notification": row.shown_id,
        "delivery": sent,
        "submission": show("sub", row.submission_id),
        "provider": "<abc@mail.test>",
    }[of]
    answer = viewer.get("/admin/notifications", query_string={"id": f" {text} "})
    assert (answer.status_code, answer.location) == (302, f"/admin/notifications/{row.shown_id}")


@pytest.mark.parametrize(
    "text",
    ["ntf_" + "0" * 32, "nonsense", "%", "x" * 5000, "a\0b", "dlv_zz"],
    ids=["unknown", "nonsense", "percent", "long", "nul", "bad"],
)
def test_an_id_that_nothing_goes_by_is_told(viewer: Visitor, sent: str, text: str) -> None:
    answer = viewer.get("/admin/notifications", query_string={"id": text})
    assert (answer.status_code, "No id, person or time goes by that name" in answer.text) == (200, True)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("ann", True), (" ann@sandbox.test ", True), ("bob", False), ("bob@sandbox.test", False), ("today", True)],
)
def test_one_box_understands_people_and_times(viewer: Visitor, sent: str, text: str, is_found: bool) -> None:
    page = viewer.get("/admin/notifications", query_string={"q": text}).text
    assert (notification().shown_id in page) == is_found


@pytest.mark.parametrize(("minutes", "is_found"), [(2, True), (-2, False)])
def test_a_time_leads_to_what_was_accepted_until_then(viewer: Visitor, sent: str, minutes: int, is_found: bool) -> None:
    said = f"{notification().created_at + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"
    assert (notification().shown_id in viewer.get(f"/admin/notifications?q={said}").text) == is_found


def day(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("today", day(29, 23)),
        ("Yesterday", day(28, 23)),
        ("2026-11-29", day(29, 23)),
        ("2026-11-29 13:05", day(29, 12, 6)),
        ("2026-11-29T12:05:00Z", day(29, 12, 6)),
        ("13:05", day(29, 12, 6)),
        ("9:05", day(29, 8, 6)),
        ("0001-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
        *((text, None) for text in ("2026-13-45", "99:99", "9999-12-31", "20261129", "tomorrow")),
    ],
)
def test_times_are_meant_in_the_readers_zone_and_reach_to_the_end_of_the_day_or_minute(
    app: APIFlask, text: str, until: datetime | None
) -> None:
    with time_machine.travel(day(29, 12, 5), tick=False):
        assert search.understand(text, ZoneInfo("Europe/Berlin")).until == until


def test_it_is_listed_by_its_own_title_but_those_with_codes_by_their_type(viewer: Visitor, send: Send) -> None:
    send("ann", email="ann@sandbox.test")
    with transaction() as session:
        session.execute(sa.update(InboxItem).values(title="Parcel A1 is on its way"))
    for path in ("/admin/notifications", "/admin/", f"/admin/notifications/{notification().shown_id}"):
        assert "Parcel A1 is on its way" in viewer.get(path).text
    with transaction() as session:
        session.execute(sa.update(EventType).where(EventType.key == "order_shipped").values(is_internal=True))
    try:
        assert "Parcel A1" not in viewer.get("/admin/notifications").text
    finally:
        with transaction() as session:
            session.execute(sa.update(EventType).where(EventType.key == "order_shipped").values(is_internal=False))


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("", True),
        ("user=ann", True),
        ("user=an", False),
        ("type=order_shipped", True),
        ("type=newsletter", False),
        ("status=delivered", True),
        ("status=failed", False),
        ("channel=email", True),
        ("channel=sms", False),
        ("status=delivered&channel=email&user=ann&type=order_shipped", True),
        ("producer=prd_" + "0" * 32, False),
    ],
)
def test_filters(viewer: Visitor, sent: str, query: str, is_found: bool) -> None:
    assert (notification().shown_id in viewer.get(f"/admin/notifications?{query}").text) == is_found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=nope", "There is no status"),
        ("channel=pigeon", "There is no channel"),
        ("producer=nope", "There is no producer"),
        ("user=" + "x" * 300, "User must be text of at most 255"),
        ("user=%00", "User must be text of at most 255"),
        ("after=nonsense", "That page is no longer available"),
    ],
)
def test_what_makes_no_sense_is_told_and_left_out(viewer: Visitor, sent: str, query: str, words: str) -> None:
    answer = viewer.get(f"/admin/notifications?{query}")
    assert (answer.status_code, words in answer.text, notification().shown_id in answer.text) == (200, True, True)


def test_the_story_tells_all_in_order(viewer: Visitor, send: Send) -> None:
    send(
        "ann",
        email="rejected@sandbox.test",
        phone="+15550100000",
        data={"order_id": "A1", "code": "998877", "tracking_url": "https://shop.test/t?who=ann"},
    )
    page = viewer.get(f"/admin/notifications/{notification().shown_id}").text
    expected = [
        "Submitted by Shop",
        "Decided and stored",
        "Put into the inbox",
        "sandbox refused it for good (attempt 1)",
    ]
    assert [words for words in expected if words not in page] == []
    assert page.index("Submitted by Shop") < page.index("sandbox refused it")
    assert "Failed job" in page
    assert "<dt>SMS</dt>" in page
    assert (
        "<dd>This channel was on: nobody had switched it off. It was to go out at once. It could not be sent." in page
    )
    assert "rejected@sandbox.test" not in page
    assert [secret for secret in ("998877", "who=ann") if secret in page] == []


def test_receipts_are_told_between_the_attempts_in_the_order_in_which_it_happened(viewer: Visitor) -> None:
    about = store_newsletter()
    start = now() - timedelta(hours=1)
    with transaction() as session:
        delivery = Delivery(
            notification_id=about,
            channel="email",
            priority="low",
            status="opened",
            sent_at=start,
            delivered_at=start + timedelta(seconds=30),
            opened_at=start + timedelta(minutes=9),
        )
        session.add(delivery)
        session.flush()
        key = delivery.id
        for number, outcome, minutes in ((1, "retryable", 0), (2, "sent", 5)):
            at = start + timedelta(minutes=minutes)
            attempt = Attempt(delivery_id=key, number=number, provider="acme", outcome=outcome, duration_ms=3, at=at)
            session.add(attempt)
        for number, (kind, by, code, seconds) in enumerate(
            (
                ("opened", "person", None, 540),
                ("opened", "machine", None, 360),
                ("delivered", "unknown", "250", 30),
                ("sent", "unknown", None, -1),  # acme rounds
            )
        ):
            at = start + timedelta(seconds=seconds)
            common = {"provider": "acme", "channel": "email", "event_id": str(number), "delivery_id": key}
            session.add(Receipt(**common, status=kind, by=by, code=code, at=at, received_at=now()))
    page = viewer.get(f"/admin/notifications/{show('ntf', about)}").text
    told = re.findall(r'<span class="strong"> (E-mail: [^<]*?) </span>(?: <span class="sub">([^<]*)</span>)?', page)
    assert told == [
        ("E-mail: acme could not be reached, or failed (attempt 1)", "3 ms"),
        ("E-mail: Receipt from acme: sent", ""),
        ("E-mail: Receipt from acme: delivered", "250"),
        ("E-mail: acme took it (attempt 2)", "3 ms"),
        ("E-mail: Receipt from acme: opened by a machine", "not counted as a person’s opening"),
        ("E-mail: Receipt from acme: opened by a person", ""),
    ]
    job = viewer.get(f"/admin/failed/{show('dlv', key)}").text
    assert "<td>acme</td> <td>delivered</td> <td>250</td>" in job
    assert '<td>opened <span class="tag">machine</span></td>' in job


def test_what_came_for_this_notification_alone_is_told_masked(
    viewer: Visitor, send: Send, cast: dict[str, str]
) -> None:
    producer = keys.create_producer("Other")
    caller = Caller(producer.id, is_test=False, may_be_urgent=True, types=None, request_id="test")
    given = InlineRecipient("alice", {"email": "somebody@x.test", "name": "Allie", "locale": "de"})
    accept([Item(caller, Submission("order_shipped", (given,), {"order_id": "A1"}, channels=("email",)))])
    page = viewer.get(f"/admin/notifications/{notification().shown_id}").text
    assert "e-mail s…@x.test, name A…, language de" in page
    assert [secret for secret in ("somebody@", "Allie") if secret in page] == []


def test_what_the_sandbox_kept_is_a_link_away(viewer: Visitor, sent: str) -> None:
    assert "As it was captured" in viewer.get(f"/admin/notifications/{notification().shown_id}").text


def test_the_data_of_what_the_product_says_itself_is_hidden_from_everybody(
    signed_in: Callable[..., Visitor], send: Send
) -> None:
    send("ann", email="ann@sandbox.test", channels=("email",), data={"order_id": "order-number-1"})
    with transaction() as session:
        session.execute(sa.update(Notification).values(type="sign_in_link"))
    page = signed_in("admin").get(f"/admin/notifications/{notification().shown_id}").text
    assert ("Hidden from everybody" in page, "order-number-1" in page, "As it was captured" in page) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize("key", ["nonsense", "ntf_" + "0" * 32, "dlv_" + "0" * 32])
def test_an_unknown_one_is_not_found(viewer: Visitor, key: str) -> None:
    assert viewer.get(f"/admin/notifications/{key}").status_code == 404


def test_persons_are_not_let_in(signed_in: Callable[..., Visitor], sent: str) -> None:
    person = signed_in("person")
    assert [
        person.get(path).status_code
        for path in ("/admin/notifications", f"/admin/notifications/{notification().shown_id}")
    ] == [403, 403]


def test_without_redis_both_pages_work(viewer: Visitor, sent: str, redis_away: None) -> None:
    assert [
        viewer.get(path).status_code
        for path in ("/admin/notifications", f"/admin/notifications/{notification().shown_id}")
    ] == [200, 200]


def multiply(count: int, **values: Any) -> None:
    with transaction() as session:
        [row] = session.execute(sa.select(Notification.__table__)).mappings()
        [of] = session.execute(sa.select(SubmissionRow.__table__)).mappings()
        submissions = [{**of, "id": new_id()} for _ in range(count)]
        session.execute(sa.insert(SubmissionRow.__table__), submissions)
        session.execute(
            sa.insert(Notification.__table__),
            [{**row, "id": new_id(), "submission_id": one["id"], **values} for one in submissions],
        )


def pages(wanted: search.Search) -> Iterator[search.Found]:
    after = None
    while True:
        found = search.page(wanted, after)
        yield found
        after = found.following
        if after is None:
            return


def test_pages_follow_each_other_without_gap_or_repeat(app: APIFlask, sent: str) -> None:
    multiply(search.PAGE_SIZE * 2 + 4)
    seen = [line.notification.id for found in pages(search.Search()) for line in found.lines]
    assert len(seen) == len(set(seen)) == search.PAGE_SIZE * 2 + 5
    assert seen == sorted(seen, reverse=True)


def test_a_page_looks_at_so_many_and_goes_on_from_there(
    app: APIFlask, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "WINDOW", 30)
    multiply(75, type="newsletter")
    found = list(pages(search.Search(type="order_shipped")))
    assert [(len(page.lines), page.is_cut_short) for page in found] == [(0, True), (0, True), (1, False)]


@pytest.mark.parametrize("of", ["console", "api"])
def test_filtered_pages_show_each_once_while_others_come(
    app: APIFlask, sent: str, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(search, "WINDOW", 20)
    multiply(50)
    there = set(db.session.scalars(sa.select(Notification.id)))
    db.session.rollback()
    [like] = db.session.execute(sa.select(Notification.__table__).limit(1)).mappings()
    [submitted] = db.session.execute(
        sa.select(SubmissionRow.__table__).where(SubmissionRow.id == like["submission_id"])
    ).mappings()
    db.session.rollback()
    is_coming = False

    def come(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal is_coming
        if is_coming or "FROM notification" not in statement:
            return
        is_coming = True
        with db.engine.begin() as other:
            for _number in range(3):
                key = new_id()
                other.execute(sa.insert(SubmissionRow.__table__), {**submitted, "id": key})
                other.execute(sa.insert(Notification.__table__), {**like, "id": new_id(), "submission_id": key})
        is_coming = False

    sa.event.listen(db.engine, "after_cursor_execute", come)
    try:
        seen = list(shown(of))
    finally:
        sa.event.remove(db.engine, "after_cursor_execute", come)
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


def shown(of: str) -> Iterator[UUID]:
    """All of that type, page by page."""
    if of == "console":
        for found in pages(search.Search(type="order_shipped")):
            yield from (line.notification.id for line in found.lines)
        return
    after = None
    while True:
        page = notifications.page(notifications.Filters(type=("order_shipped",), after=after), notifications.Sight())
        yield from (parse("ntf", line["id"]) for line in page["data"])
        after = page["next"]
        if after is None:
            return


def test_the_number_of_queries_does_not_grow(viewer: Visitor, sent: str, count_queries: Callable[[], Any]) -> None:
    path = "/admin/notifications?status=delivered"
    with count_queries() as before:
        viewer.get(path)
    multiply(30)
    with count_queries() as after:
        viewer.get(path)
    assert after.total == before.total


# ---- once more


def test_an_operator_sends_a_message_again_once(
    signed_in: Callable[..., Visitor], sent: str, work: Callable[[], None]
) -> None:
    operator, page = signed_in("operator"), f"/admin/notifications/deliveries/{sent}/again"
    first = notification()
    assert f'href="{page}"' in operator.get(f"/admin/notifications/{first.shown_id}").text
    asked = operator.get(page).text
    assert "Send it again?" in asked
    [once] = re.findall(r'name="once" value="(\w+)"', asked)

    answers = [operator.post(page, {"once": once}) for _ in range(2)]

    work()
    [original, again] = db.session.scalars(sa.select(Notification).order_by(Notification.id))
    assert {answer.location for answer in answers} == {f"/admin/notifications/{again.shown_id}"}
    assert [(n.type, n.user_id, n.data, n.template_id, n.producer_id) for n in (again,)] == [
        (original.type, original.user_id, original.data, original.template_id, original.producer_id)
    ]
    deliveries = db.session.execute(
        sa.select(Delivery.channel, Delivery.status).where(Delivery.notification_id == again.id)
    ).all()
    assert [tuple(row) for row in deliveries] == [("email", "delivered")]
    told = db.session.execute(
        sa.select(AuditEntry.subject, AuditEntry.actor, AuditEntry.after).filter_by(action="delivery.resent")
    ).all()
    after = {"notification": again.shown_id}  # and not whom: they may be erased
    assert [tuple(row) for row in told] == [(sent, "operator@example.test", after)]


def test_what_was_switched_off_since_is_not_sent_again(
    signed_in: Callable[..., Visitor], sent: str, work: Callable[[], None]
) -> None:
    choices.change("ann", {"channels": {"email": False}}, replace=False, source="test")
    signed_in("operator").post(f"/admin/notifications/deliveries/{sent}/again", {"once": "0" * 32})
    assert db.session.scalars(sa.select(Delivery.reason).order_by(Delivery.id)).all() == [None, "opted_out"]


@pytest.mark.parametrize(
    ("case", "delivery", "about", "reason"),
    [
        ("failed", {"status": "failed"}, {}, "It has not been sent."),
        ("skipped", {"status": "skipped"}, {}, "It has not been sent."),
        ("of a test key", {}, {"is_test": True}, "Messages of test keys"),
        ("of the product", {}, {"producer_id": None}, "Messages from Notifier itself"),
        ("of a type with codes and links", {}, {"type": "address_code"}, "Messages from Notifier itself"),
        ("of a type for every admin", {}, {"type": "fraud_alert"}, "Messages from Notifier itself"),
        ("without data", {}, {"data": None}, "Its data have been deleted."),
    ],
)
def test_what_may_not_be_sent_again(
    signed_in: Callable[..., Visitor],
    sent: str,
    case: str,
    delivery: dict[str, Any],
    about: dict[str, Any],
    reason: str,
) -> None:
    with transaction() as session:
        for model, values in ((Delivery, delivery), (Notification, about)):
            if values:
                session.execute(sa.update(model).values(**values))
    operator, page = signed_in("operator"), f"/admin/notifications/deliveries/{sent}/again"
    assert page not in operator.get(f"/admin/notifications/{notification().shown_id}").text
    for ask in (operator.get, lambda page: operator.post(page, {"once": "0" * 32})):
        answer = ask(page)
        assert answer.location == f"/admin/notifications?q={sent}"
        story = operator.get(operator.get(answer.location).location).text
        assert f"Nothing was sent again. {reason}" in story
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1


def test_a_viewer_is_not_offered_it(viewer: Visitor, sent: str) -> None:
    assert "/again" not in viewer.get(f"/admin/notifications/{notification().shown_id}").text


def test_nobody_who_is_erased_comes_back_by_it(signed_in: Callable[..., Visitor], sent: str) -> None:
    operator, page = signed_in("operator"), f"/admin/notifications/deliveries/{sent}/again"
    profiles.erase("ann")
    answer = operator.post(page, {"once": "0" * 32})
    assert answer.location == f"/admin/notifications?q={sent}"
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1


def test_what_the_submission_is_refused_for_is_not_written_down(signed_in: Callable[..., Visitor], sent: str) -> None:
    profiles.erase("ann")
    with transaction() as session:
        session.execute(sa.update(Notification).values(data={}))
    signed_in("operator").post(f"/admin/notifications/deliveries/{sent}/again", {"once": "0" * 32})
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1
    assert not db.session.scalars(sa.select(AuditEntry).filter_by(action="delivery.resent")).all()
