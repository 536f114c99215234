"""The links a message carries."""

from dataclasses import replace

import pytest
from apiflask import APIFlask

from notifier.core.facts import AddressFacts
from notifier.ground import tokens
from notifier.ground.ids import new_id
from notifier.ground.tokens import PreferenceLink, Subject
from notifier.models import EventType
from notifier.words.compose import unsubscribe_url, why_url

ALICE = PreferenceLink(Subject("alice", 7, 1))
LIKE = EventType(key="like", category="social")
DIGEST = EventType(key="social_digest", category="social", is_internal=True)
CODE = EventType(key="address_code", category="system", is_internal=True, is_mandatory=True)
ALERT = EventType(key="security_alert", category="system", is_mandatory=True)
CONFIRMED = AddressFacts(new_id(), "email", "a…@example.test", is_confirmed=True)
ORDER = EventType(key="order_shipped", category="transactional")


@pytest.mark.parametrize(
    ("type_", "channel", "place"),
    [
        (LIKE, "email", "like-email"),
        (DIGEST, "email", "often-panel"),
        (CODE, "email", None),
        (LIKE, "sms", None),
        (LIKE, "webhook", None),
        (LIKE, "inapp", None),
    ],
    ids=lambda value: value.key if isinstance(value, EventType) else None,
)
def test_a_mail_leads_to_what_let_it_through(app: APIFlask, type_: EventType, channel: str, place: str | None) -> None:
    assert why_url(ALICE, type_, channel, CONFIRMED) == (
        place and f"http://localhost/p/{tokens.sign_preferences(ALICE)}#{place}"
    )


@pytest.mark.parametrize("address", [replace(CONFIRMED, is_confirmed=False), None], ids=["given by a producer", "none"])
def test_nobodys_preferences_are_opened_from_an_address_that_its_owner_has_not_confirmed(
    app: APIFlask, address: AddressFacts | None
) -> None:
    assert why_url(ALICE, LIKE, "email", address) is None


@pytest.mark.parametrize(
    ("type_", "channel", "has_link"),
    [
        (LIKE, "email", True),
        (DIGEST, "email", True),
        (LIKE, "sms", False),
        (CODE, "email", False),
        (ALERT, "email", True),
        (ORDER, "email", False),
    ],
    ids=lambda value: value.key if isinstance(value, EventType) else None,
)
def test_a_mail_that_nobody_asked_for_offers_to_be_switched_off(
    app: APIFlask, type_: EventType, channel: str, has_link: bool
) -> None:
    assert (unsubscribe_url(ALICE.subject, type_, channel, CONFIRMED) is not None) == has_link


def test_the_link_opens_that_persons_preferences_alone(app: APIFlask) -> None:
    token = tokens.sign_preferences(ALICE)
    assert tokens.read_preferences(token) == ALICE
    assert (tokens.open_user_token(token), tokens.read_unsubscribe(token)) == (None, None)
