"""The page that tells a person what they were sent, and why."""

from collections.abc import Callable
from typing import Any

from tests.web.conftest import Visitor


def test_it_leads_from_each_reason_to_the_switch_that_decides(
    signed_in: Callable[..., Visitor], send: Callable[..., Any]
) -> None:
    page = signed_in("person", "zoe")
    send("zoe", email="zoe@x.test", channels=("email", "sms"))
    text = page.get("/why").text
    assert '<a href="/preferences#order_shipped-email">' in text
    assert "This channel is on unless it is switched off. It goes out at once. It was delivered." in text
    assert '<a href="/preferences#order_shipped-sms">' in text
    assert "There is no active address for this channel." in text


def test_the_preferences_lead_to_it(signed_in: Callable[..., Visitor]) -> None:
    assert 'href="/why"' in signed_in().get("/preferences").text


def test_it_says_so_when_nothing_was_sent(signed_in: Callable[..., Visitor]) -> None:
    assert "Nothing has been sent to you yet." in signed_in().get("/why").text


def test_who_is_not_signed_in_has_to_do_that_first(visitor: Visitor) -> None:
    assert visitor.get("/why").status_code == 302
