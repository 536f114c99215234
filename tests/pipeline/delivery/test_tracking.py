"""From a tracked mail to what became of it: links are stored before it goes out, hits are receipts like all others."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.core.submission import InlineRecipient
from notifier.core.tracking import ACCOUNT
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Capture, Delivery, EventType, Receipt, Tally
from notifier.models import Event as StreamEvent
from notifier.people import preferences as choosing
from notifier.people.profiles import erase
from notifier.pipeline.delivery import kept_receipts
from notifier.pipeline.delivery.deliver import begin, deliver
from notifier.queries import story
from tests.stored import deliveries, rows, sent_statements
from tests.tracked import CHROME, links_in, pixel_in, tracking

Submit = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("cast")

TARGET = "https://shop.test/o/1?a=1&b=2#part"
DATA = {"order_id": "A1", "tracking_url": TARGET}


@pytest.fixture(autouse=True)
def _tracked(app: APIFlask) -> Iterator[None]:
    with tracking("order_shipped", opens=True, clicks=True):
        yield


def sent(submit: Submit, *people: Any, **fields: Any) -> tuple[Delivery, str]:
    """One mail, captured. → its delivery and its HTML."""
    submit(*(people or ("alice",)), channels=("email",), data=DATA, **fields)
    deliver([row.id for row in deliveries(status="queued")])
    return deliveries()[-1], rows(Capture)[-1].content["html"]


def hit(client: FlaskClient, path: str, after_s: float = 60, **headers: str) -> Any:
    """A person's, unless the headers say otherwise."""
    given = {"User-Agent": CHROME} | {name.replace("_", "-"): value for name, value in headers.items()}
    with time_machine.travel(at(after_s), tick=False):
        return client.get(path, headers=given)


def at(after_s: float) -> datetime:
    return deliveries()[-1].sent_at + timedelta(seconds=after_s)


def settle(after_s: float = 90) -> None:
    with time_machine.travel(at(after_s), tick=False):
        kept_receipts.apply_due()


def hits() -> list[tuple[str, int | None, str]]:
    """Those of our own links, as they were judged: kind, number, by whom."""
    return [(row.status, row.detail.get("link"), row.by) for row in rows(Receipt, provider=ACCOUNT)]


def test_links_are_stored_before_the_mail_goes_out(submit: Submit, client: FlaskClient) -> None:
    """A scanner follows them while the mail is still being taken, and the worker may die before it has recorded it."""
    submit("alice", channels=("email",), data=DATA)
    tasks, _ = begin([deliveries()[0].id])
    [row] = deliveries()
    assert (row.status, row.links) == ("sending", [TARGET])
    assert not isinstance(tasks[0].message, str)
    [_decoy, link] = links_in(str(tasks[0].message.content.html))
    answer = client.get(link, headers={"User-Agent": CHROME})
    assert (answer.status_code, answer.location) == (302, TARGET)
    assert hits() == [("clicked", 1, "machine")]


def test_the_text_and_the_headers_keep_their_links(submit: Submit) -> None:
    _, html = sent(submit)
    content = rows(Capture)[0].content
    assert TARGET in content["text"]
    assert "/t/" not in content["text"] + str(content["headers"])
    assert len(links_in(html)) == 2


@pytest.mark.parametrize(
    ("flags", "links", "has_pixel"),
    [
        ({"opens": True, "clicks": False}, 0, True),
        ({"opens": False, "clicks": True}, 2, False),
        ({"opens": False, "clicks": False}, 0, False),
    ],
)
def test_a_mail_holds_what_its_type_tracks(submit: Submit, flags: dict[str, bool], links: int, has_pixel: bool) -> None:
    with tracking("order_shipped", **flags):
        row, html = sent(submit)
    assert (len(links_in(html)), pixel_in(html) is not None) == (links, has_pixel)
    assert row.links == ([TARGET] if links else None)


def test_a_person_who_refused_gets_a_mail_without_and_is_not_recorded(submit: Submit, client: FlaskClient) -> None:
    _, earlier = sent(submit)
    choosing.change("alice", {"do_not_track": True}, replace=False, source="test")
    row, html = sent(submit)
    assert (row.links, links_in(html), pixel_in(html)) == (None, [], None)
    assert hit(client, links_in(earlier)[1]).location == TARGET
    assert hit(client, str(pixel_in(earlier))).mimetype == "image/gif"
    assert hits() == []


def test_a_mandatory_type_is_never_tracked(submit: Submit) -> None:
    """Nor one that has become mandatory since, whatever its row says."""
    with transaction() as session:
        session.execute(sa.update(EventType).where(EventType.key == "order_shipped").values(is_mandatory=True))
    try:
        row, html = sent(submit)
    finally:
        with transaction() as session:
            session.execute(sa.update(EventType).where(EventType.key == "order_shipped").values(is_mandatory=False))
    assert (row.links, links_in(html), pixel_in(html)) == (None, [], None)


def test_the_words_of_a_mandatory_type_are_never_tracked(submit: Submit) -> None:
    """Whatever type they are sent as."""
    submit("alice", channels=("email",), data={**DATA, "url": TARGET}, template="password_reset")
    deliver([row.id for row in deliveries(status="queued")])
    html = rows(Capture)[-1].content["html"]
    assert "https://shop.test/o/1" in html
    assert (deliveries()[0].links, links_in(html), pixel_in(html)) == (None, [], None)


def test_a_retry_sends_the_same_links(submit: Submit) -> None:
    """Both mails may have arrived."""
    submit(InlineRecipient("erin", {"email": "flaky-2@sandbox.test"}), channels=("email",), data=DATA)
    htmls = []
    for _ in range(2):
        [row] = deliveries()
        with transaction() as session:
            session.execute(sa.update(Delivery).values(status="queued"))
        with sent_statements() as asked:
            [task], _ = begin([row.id])
        assert not isinstance(task.message, str)
        htmls.append(links_in(str(task.message.content.html)))
        stores = [text for text in asked if text.startswith("UPDATE delivery SET links")]
        assert len(stores) == (1 if len(htmls) == 1 else 0)
    assert htmls[0] == htmls[1] != []


def test_links_cost_a_batch_one_statement_and_other_mails_none(submit: Submit) -> None:
    def begun(flags: dict[str, bool], people: int) -> int:
        with tracking("order_shipped", **flags):
            submit(*("alice", "bob")[:people], channels=("email",), data=DATA)
            ids = [row.id for row in deliveries(status="queued")]
            begin(ids[:0])
            with sent_statements() as asked:
                begin(ids)
        return len(asked)

    begun({"clicks": False}, 1)  # fills what is remembered
    plain, one, two = begun({"clicks": False}, 2), begun({"clicks": True}, 1), begun({"clicks": True}, 2)
    assert (one - plain, two - one) == (1, 0)


def test_a_persons_click_and_open_move_the_delivery(submit: Submit, client: FlaskClient) -> None:
    row, html = sent(submit)
    link, pixel = links_in(html)[1], str(pixel_in(html))
    assert hit(client, pixel, 60).status_code == 200
    assert hit(client, link, 70).location == TARGET
    assert [r.status for r in deliveries()] == ["delivered"]  # the hits beside them are not known yet
    settle()
    [row] = deliveries()
    assert (row.status, row.opened_at, row.clicked_at) == ("clicked", at(60), at(70))
    assert hits() == [("opened", None, "person"), ("clicked", 1, "person")]
    assert [event.kind for event in rows(StreamEvent)][-2:] == ["delivery.opened", "delivery.clicked"]
    assert [t.event for t in rows(Tally) if t.event == "opened"] == ["opened"]
    told = {event.what: (event.detail, event.tone) for event in story.of(row.notification_id, str).events}
    assert told["Mail opened by a person"] == ("", "good")
    assert told["Link 1 clicked by a person"] == ("shop.test", "good")


def test_a_scanner_that_follows_all_links_is_none_of_the_people(submit: Submit, client: FlaskClient) -> None:
    """It calls itself a browser and waits for a minute; the link that nobody sees gives it away, as does its haste."""
    _, html = sent(submit)
    for path in (*reversed(links_in(html)), str(pixel_in(html))):
        hit(client, path)
    settle()
    assert [row.status for row in deliveries()] == ["delivered"]
    assert hits() == [("clicked", 1, "machine"), ("clicked", 0, "machine"), ("opened", None, "machine")]
    assert [t.event for t in rows(Tally) if t.event == "opened"] == []
    told = {event.what: event.detail for event in story.of(deliveries()[0].notification_id, str).events}
    assert told["Link 1 clicked by a machine"] == "shop.test · not counted as a person’s click"
    assert told["Hidden link clicked by a machine"] == "not counted as a person’s click"

    hit(client, links_in(html)[1], 3600)  # and then a person reads it
    settle(3700)
    assert ([row.status for row in deliveries()], hits()[-1]) == (["clicked"], ("clicked", 1, "person"))


def test_two_links_within_a_second_are_a_scan(submit: Submit, client: FlaskClient) -> None:
    with tracking("promotional_offer", clicks=True):
        submit(
            "alice",
            channels=("email",),
            type="promotional_offer",
            data={"title": "Sale", "offer": "All for half", "url": TARGET},
        )
        deliver([row.id for row in deliveries(status="queued")])
    with transaction() as session:  # as if the mail had another link
        session.execute(sa.update(Delivery).values(links=[TARGET, "https://shop.test/2"]))
    html = rows(Capture)[-1].content["html"]
    [_, first] = links_in(html)
    second = f"/t/{tokens.sign_link(tokens.TrackedLink(deliveries()[0].id, 2))}"
    hit(client, first, 60)
    hit(client, second, 60.5)
    settle()
    assert hits() == [("clicked", 1, "machine"), ("clicked", 2, "machine")]


def test_a_scanner_that_comes_again_and_again_does_not_fill_the_database(
    submit: Submit, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_receipts, "MOST_HITS", 6)
    delivery, _ = sent(submit)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(links=[TARGET, "https://shop.test/2"]))
    for turn in range(8):
        for number in (1, 2):
            link = tokens.sign_link(tokens.TrackedLink(delivery.id, number))
            hit(client, f"/t/{link}", 60 + 10 * turn)
        settle(65 + 10 * turn)
    assert hits() == [("clicked", 1, "machine"), ("clicked", 2, "machine")] * 3
    assert deliveries()[0].status == "delivered"


def test_nor_does_one_that_loads_the_pixel_beside_the_hidden_link(
    submit: Submit, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_receipts, "MOST_HITS", 4)
    _, html = sent(submit)
    hit(client, links_in(html)[0])
    for turn in range(8):
        hit(client, str(pixel_in(html)), 60 + 5 * turn)
        settle(63 + 5 * turn)
    assert hits() == [("clicked", 0, "machine")] + [("opened", None, "machine")] * 3
    assert deliveries()[0].status == "delivered"


@pytest.mark.parametrize(
    ("headers", "after_s", "judged"),
    [
        ({"User_Agent": "curl/8.0"}, 60, [("clicked", 1, "machine")]),
        ({}, 2, [("clicked", 1, "machine")]),
        ({"Sec_Purpose": "prefetch"}, 60, []),
    ],
)
def test_marks_of_machines_move_nothing(
    submit: Submit, client: FlaskClient, headers: dict[str, str], after_s: float, judged: list[Any]
) -> None:
    _, html = sent(submit)
    assert hit(client, links_in(html)[1], after_s, **headers).location == TARGET
    settle()
    assert (hits(), [row.status for row in deliveries()]) == (judged, ["delivered"])


def test_a_hit_is_counted_once_and_nothing_of_the_caller_is_kept(submit: Submit, client: FlaskClient) -> None:
    _, html = sent(submit)
    for second in (60, 61, 62):
        hit(client, links_in(html)[1], second)
    settle()
    [row] = rows(Receipt)
    assert (row.by, row.detail, row.code, row.digest) == ("person", {"link": 1}, None, None)


def test_a_hit_during_the_send_waits_for_its_record(submit: Submit, client: FlaskClient) -> None:
    submit("alice", channels=("email",), data=DATA)
    [task], _ = begin([deliveries()[0].id])
    assert not isinstance(task.message, str)
    client.get(str(pixel_in(str(task.message.content.html))), headers={"User-Agent": CHROME})
    with time_machine.travel(now() + timedelta(seconds=5), tick=False):
        kept_receipts.apply_due()
    [receipt] = rows(Receipt)
    assert (receipt.applied_at, receipt.delivery_id) == (None, task.delivery.id)


def test_hits_on_a_test_keys_mail_are_told_and_counted_nowhere(
    submit: Submit, client: FlaskClient, caller: Any
) -> None:
    test = replace(caller, is_test=True)
    _, html = sent(submit, InlineRecipient("erin", {"email": "erin@shop.test"}), caller=test)
    assert hit(client, links_in(html)[1]).location == TARGET
    settle()
    assert ([row.status for row in deliveries()], hits()) == (["clicked"], [("clicked", 1, "person")])
    assert rows(Tally) == []


def test_the_links_of_an_erased_person_lead_nowhere(submit: Submit, client: FlaskClient) -> None:
    _, html = sent(submit)
    erase("alice")
    assert [row.links for row in deliveries()] == [None]
    answer = client.get(links_in(html)[1])
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert client.get(str(pixel_in(html))).status_code == 200
    assert hits() == []


def test_a_click_of_somebody_erased_since_says_no_more_than_that(submit: Submit, client: FlaskClient) -> None:
    _, html = sent(submit)
    hit(client, links_in(html)[1])
    erase("alice")
    settle()
    assert hits() == [("clicked", None, "person")]
    assert [row.applied_at is not None for row in rows(Receipt)] == [True]


def test_a_mail_whose_links_cannot_be_stored_goes_out_untracked(submit: Submit, app: APIFlask) -> None:
    """Tracking never costs anybody a mail."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE delivery SET links"):
            raise sa.exc.OperationalError(statement, None, ConnectionError("away"))

    sa.event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        row, html = sent(submit)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", refuse)
    assert (row.status, row.links, links_in(html), pixel_in(html)) == ("delivered", None, [], None)
    assert TARGET in html.replace("&amp;", "&")
