"""Captured messages, as their recipients would have seen them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import AuditEntry, Capture
from notifier.operations import sandbox_emptying
from notifier.people import addresses
from notifier.queries import captures
from tests.stored import rows
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]
ORDER = {"order_id": "4711", "carrier": "DHL"}


@pytest.fixture
def viewer(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("viewer")


def only_capture(channel: str = "email") -> str:
    db.session.rollback()
    [row] = db.session.query(Capture).filter_by(channel=channel).all()
    return show("cap", row.id)


def change_html(html: str) -> None:
    with transaction() as session:
        [row] = session.query(Capture).all()
        row.content = {**row.content, "html": html}


def test_an_empty_sandbox_says_what_will_be_there(viewer: Visitor) -> None:
    assert "Nothing has been captured yet" in viewer.get("/admin/sandbox").text


def test_a_mail_is_shown_with_both_parts(viewer: Visitor, send: Send) -> None:
    send("zoe", email="zoe@example.test", channels=("email",))
    assert "zoe@example.test" in viewer.get("/admin/sandbox").text
    path = f"/admin/sandbox/{only_capture()}"
    frame = f'src="{path}/html" sandbox='
    for view, words in (("", frame), ("?width=phone", 'class="mail is-narrow"'), ("?view=nonsense", frame)):
        assert words in viewer.get(path + view).text
    shown = {view: viewer.get(f"{path}?view={view}").text for view in ("text", "headers", "source")}
    assert "Text part" in shown["text"]
    assert "Message-ID" in shown["headers"]
    assert "&lt;!doctype html" in shown["source"].lower()
    assert not any(frame in page for page in shown.values())


def test_its_html_comes_from_a_route_that_lets_nothing_run(viewer: Visitor, send: Send) -> None:
    send("zoe", email="zoe@example.test", channels=("email",))
    change_html("<html><head></head><body><script>alert(1)</script>Hello</body></html>")
    answer = viewer.get(f"/admin/sandbox/{only_capture()}/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "frame-ancestors 'self'" in policy
    assert '<base target="_blank">' in answer.text


def test_a_text_message_is_a_bubble_with_its_segments(viewer: Visitor, send: Send) -> None:
    send("zoe", type="security_alert", data={"event": "New sign-in"}, phone="+4915112345678", channels=("sms",))
    page = viewer.get(f"/admin/sandbox/{only_capture('sms')}").text
    assert 'class="bubble"' in page
    assert "1 segment" in page


def test_text_is_never_markup(viewer: Visitor, send: Send) -> None:
    send(
        "zoe",
        type="comment",
        data={"actor": "<b>Grace</b>", "text": "<script>1</script>"},
        email="zoe@example.test",
        channels=("email",),
    )
    for path in ("/admin/sandbox", f"/admin/sandbox/{only_capture()}"):
        page = viewer.get(path).text
        assert "<b>Grace" not in page
        assert "<script>1" not in page


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("type=comment", {"comment"}),
        ("type=newsletter", set()),
        ("type=nothing", {"comment", "order_shipped"}),
        ("within=24h", {"comment"}),
        ("within=30d&type=order_shipped&channel=email&to=zoe", {"order_shipped"}),
        ("within=24h&type=order_shipped", set()),
    ],
)
def test_it_is_filtered_by_type_and_time(viewer: Visitor, send: Send, given: str, found: set[str]) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(days=3)):
        send("zoe", type="order_shipped", data=ORDER, email="zoe@example.test", channels=("email",))
    send("zoe", type="comment", data={"actor": "Grace", "text": "Hello"}, channels=("email",))
    page = viewer.get(f"/admin/sandbox?{given}").text
    words = {"comment": "Grace", "order_shipped": "Your order 4711"}  # the number alone may be in any id
    assert {type for type, word in words.items() if word in page} == found


def test_a_rare_type_is_looked_for_a_window_at_a_time(
    viewer: Visitor, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "WINDOW", 2)
    send("zoe", type="comment", data={"actor": "Grace", "text": "Hello"}, email="z@example.test", channels=("email",))
    for user in ("yan", "xan", "wim"):
        send(user, type="order_shipped", data=ORDER, email=f"{user}@example.test", channels=("email",))
    first = viewer.get("/admin/sandbox?type=comment").text
    assert ("Grace" in first, "Older ones are a page away" in first) == (False, True)
    following = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Grace" in viewer.get(following).text


def test_an_operator_deletes_all_that_was_there_and_the_trail_says_so(
    viewer: Visitor, signed_in: Callable[..., Visitor], send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = signed_in("operator")
    for user in ("zoe", "yan", "xan"):
        send(user, email=f"{user}@example.test", channels=("email",))
    monkeypatch.setattr(sandbox_emptying, "MOST", 2)
    asked = operator.get("/admin/sandbox/delete").text
    last = asked.partition('name="last" value="')[2].partition('"')[0]
    assert "Delete 3 captured messages?" in asked
    send("wim", email="wim@example.test", channels=("email",))
    assert "1 are left" in operator.post("/admin/sandbox/delete", {"last": last}, follow_redirects=True).text
    operator.post("/admin/sandbox/delete", {"last": last})
    operator.post("/admin/sandbox/delete", {"last": last})
    assert [row.user_id for row in rows(Capture)] == ["wim"]
    entries = [(row.actor, row.before) for row in rows(AuditEntry) if row.action == "sandbox.emptied"]
    assert entries == [("operator@example.test", {"captures": 2}), ("operator@example.test", {"captures": 1})]


def test_it_is_filtered_by_person_and_channel(viewer: Visitor, send: Send) -> None:
    send("zoe", email="zoe@example.test", channels=("email",))
    send("yan", email="yan@example.test", channels=("email",))
    for wanted in ("zoe", "zoe@example.test", " zoe@EXAMPLE.test "):
        page = viewer.get("/admin/sandbox", query_string={"to": wanted, "channel": "email"}).text
        assert ("zoe@example.test" in page, "to yan@example.test" in page) == (True, False)
    for nothing in ({"channel": "sms"}, {"to": "zoe@"}, {"to": "a\0b"}, {"to": "x" * 999}):
        assert "No captured message matches" in viewer.get("/admin/sandbox", query_string=nothing).text


@pytest.mark.parametrize(
    ("channel", "value", "shown", "words"),
    [
        ("slack", "https://hooks.slack.com/services/T0/B0/Secret", "https://hooks.slack.com/…", "Payload"),
        ("webhook", "https://shop.example/hooks/Secret", "https://shop.example/…", "webhook-signature"),
        ("push", "0123456789abcdef" * 4, "…cdef", "Payload"),
    ],
)
def test_what_opens_a_door_is_masked_and_the_rest_is_shown(
    viewer: Visitor, send: Send, channel: str, value: str, shown: str, words: str
) -> None:
    """A test key: even of a channel with a provider all is captured."""
    send("zoe", name="Zoe")
    addresses.add_given("zoe", channel, value, label=None)
    send("zoe", channels=(channel,), is_test=True)
    page = viewer.get(f"/admin/sandbox/{only_capture(channel)}").text
    assert (value in page, f"to {shown}" in page, words in page) == (False, True, True)
    assert value not in viewer.get("/admin/sandbox").text


def test_it_leads_to_the_person_and_the_story(viewer: Visitor, send: Send) -> None:
    [delivery] = send("zoe", email="zoe@example.test", channels=("email",))
    page = viewer.get(f"/admin/sandbox/{only_capture()}").text
    for path in ("/admin/users/zoe", f"/admin/notifications/{show('ntf', delivery.notification_id)}"):
        assert f'href="{path}"' in page
        assert viewer.get(path).status_code == 200


def test_older_ones_are_a_page_away(viewer: Visitor, send: Send) -> None:
    [delivery] = send("zoe", email="zoe@example.test", channels=("email",))
    with transaction() as session:
        session.add_all(
            Capture(delivery_id=delivery.id, user_id="zoe", channel="email", content={"subject": f"Copy {n}"})
            for n in range(60)
        )
    first = viewer.get("/admin/sandbox").text
    assert first.count('class="row-link"') == 50
    following = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert viewer.get(following).text.count('class="row-link"') == 11


@pytest.mark.parametrize("path", ["nonsense", f"cap_{'0' * 32}", f"cap_{'0' * 32}/html"])
def test_what_is_not_there_is_not_found(viewer: Visitor, path: str) -> None:
    assert viewer.get(f"/admin/sandbox/{path}").status_code == 404


def test_a_cursor_that_is_none_is_no_crash(viewer: Visitor) -> None:
    assert viewer.get("/admin/sandbox?after=nonsense").status_code == 404
