"""The page that tells a person what they were sent, and why."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from notifier.ground.database import transaction
from notifier.models import Delivery, InboxItem
from tests.web.conftest import Visitor


def test_it_leads_from_each_reason_to_the_switch_that_decides(
    signed_in: Callable[..., Visitor], send: Callable[..., Any]
) -> None:
    page = signed_in("person", "zoe")
    send("zoe", email="zoe@x.test", channels=("email", "sms"))
    text = page.get("/why").text
    assert '<a href="/preferences#order_shipped-email">' in text
    assert "It was delivered. This channel is on unless it is switched off." in text
    assert '<a href="/preferences#order_shipped-sms">' in text
    assert '<strong>Left out</strong>: <span lang="en">There is no active address for this channel.' in text


def test_it_calls_a_message_by_its_own_title_and_says_no_ids_of_ours(
    signed_in: Callable[..., Visitor], send: Callable[..., Any]
) -> None:
    page = signed_in("person", "zoe")
    send("zoe", email="zoe@x.test")
    with transaction() as session:
        session.execute(sa.update(InboxItem).values(title="Parcel A1 is on its way"))
        skipped = {"status": "skipped", "reason": "duplicate", "detail": {"duplicate_of": "ntf_01a2"}}
        session.execute(sa.update(Delivery).where(Delivery.channel == "email").values(**skipped))
    text = page.get("/why").text
    assert "Parcel A1 is on its way</h2>" in text
    assert ">Your order has left our warehouse, with a link to track it.</p>" in text
    assert '<strong>Left out</strong>: <span lang="en">The same message came a short time ago.' in text
    assert "ntf_" not in text


def test_a_space_stands_before_a_french_colon(signed_in: Callable[..., Visitor], send: Callable[..., Any]) -> None:
    page = signed_in("person", "zoe")
    send("zoe", email="zoe@x.test", locale="fr", channels=("email", "sms"))
    text = page.get("/why").text
    assert '-email">E-mail</a>\N{NO-BREAK SPACE}:' in text
    assert "<strong>Non envoyé</strong>\N{NO-BREAK SPACE}:" in text


def test_the_preferences_lead_to_it(signed_in: Callable[..., Visitor]) -> None:
    assert 'href="/why"' in signed_in().get("/preferences").text


def test_it_says_so_when_nothing_was_sent(signed_in: Callable[..., Visitor]) -> None:
    assert "Nothing has been sent to you yet." in signed_in().get("/why").text


def test_who_is_not_signed_in_has_to_do_that_first(visitor: Visitor) -> None:
    assert visitor.get("/why").status_code == 302
