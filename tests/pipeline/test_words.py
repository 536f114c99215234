"""The links a message carries."""

import pytest
from apiflask import APIFlask

from notifier import tokens
from notifier.models import EventType
from notifier.pipeline.words import why_url


@pytest.mark.parametrize(
    ("channel", "is_internal", "has_link"),
    [("email", False, True), ("email", True, False), ("sms", False, False), ("webhook", False, False), ("inapp", False, False)],
)
def test_a_mail_leads_to_the_switch_that_let_it_through(app: APIFlask, channel: str, is_internal: bool, has_link: bool) -> None:
    url = why_url("alice", EventType(key="like", is_internal=is_internal), channel)
    assert url == (f"http://localhost/p/{tokens.sign_preferences('alice')}#like-{channel}" if has_link else None)


def test_the_link_opens_that_persons_preferences_alone(app: APIFlask) -> None:
    token = tokens.sign_preferences("alice")
    assert tokens.read_preferences(token) == "alice"
    assert (tokens.read_user_token(token), tokens.read_unsubscribe(token)) == (None, None)
