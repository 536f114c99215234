"""Captured messages, as their recipients would have seen them."""

from collections.abc import Callable
from typing import Any

import pytest

from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Capture
from notifier.people import addresses
from tests.web.conftest import Visitor

Send = Callable[..., list[Any]]


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
    page = viewer.get(f"/admin/sandbox/{only_capture()}").text
    assert f'src="/admin/sandbox/{only_capture()}/html" sandbox=' in page
    assert "Text part" in page


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
