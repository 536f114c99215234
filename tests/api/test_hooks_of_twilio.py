"""Twilio's own calls at the hook's door, on both databases: signed by its library for the URL that it was given."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from notifier.models import Receipt, Suppression
from notifier.providers import accounts
from tests.channels.twilio import ACCOUNT, DELIVERY, MESSAGE, TOKEN
from tests.stored import rows

PATH = "/hooks/texts"
STATUS = {"AccountSid": ACCOUNT, "MessageSid": MESSAGE, "MessageStatus": "delivered", "To": "+4915112345678"}
INBOUND = {"AccountSid": ACCOUNT, "MessageSid": MESSAGE, "SmsStatus": "received", "From": "+4915112345678"}


@pytest.fixture(autouse=True)
def account(app: APIFlask) -> Iterator[None]:
    settings = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_FROM": "+15005550006"}
    accounts.add("texts", "twilio", settings)
    yield
    accounts.remove("texts")


def call(client: FlaskClient, form: dict[str, str], *, query: str = "", signed: str = "http://localhost") -> int:
    """As it comes through a proxy, under a host of its own."""
    signature = RequestValidator(TOKEN).compute_signature(f"{signed}{PATH}{query}", form)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    response = client.post(PATH + query, data=urlencode(form), headers=headers, base_url="http://inner:8080")
    return response.status_code


def test_the_url_that_it_signed_is_that_of_public_url(client: FlaskClient) -> None:
    query = f"?delivery={DELIVERY}"
    assert call(client, STATUS, query=query, signed="http://inner:8080") == 401
    assert call(client, STATUS, query=query, signed="https://localhost") == 401
    assert rows(Receipt) == []
    assert [call(client, STATUS, query=query) for _ in range(2)] == [200, 200]
    assert [(r.provider, r.event_id, r.status) for r in rows(Receipt)] == [
        ("texts", f"{MESSAGE}:delivered", "delivered")
    ]


def test_stop_holds_their_sms_until_they_write_start(client: FlaskClient) -> None:
    assert call(client, {**INBOUND, "Body": "What?"}) == 204
    assert rows(Suppression) == []
    assert call(client, {**INBOUND, "Body": "Stop"}) == 200
    assert [(r.channel, r.scope, r.reason, r.provider) for r in rows(Suppression)] == [
        ("sms", "channel:sms", "stopped", "texts")
    ]
    assert call(client, {**INBOUND, "Body": "START", "MessageSid": MESSAGE[:-1] + "4"}) == 200
    assert rows(Suppression) == []


def test_what_belongs_elsewhere_is_taken_and_named(client: FlaskClient) -> None:
    for form in (
        {**STATUS, "AccountSid": "AC" + "9" * 32},
        {**STATUS, "To": "whatsapp:+4915112345678"},
        {"AccountSid": ACCOUNT, "CallSid": "CA" + "5" * 32, "CallStatus": "completed"},
    ):
        assert call(client, form) == 204
    assert call(client, {"AccountSid": ACCOUNT}) == 400
    assert rows(Receipt) == []
