"""A mail's journey through each provider: accepted here, handed over, and what its provider tells later. On both
databases, with every host played by one server.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.channels import serving
from notifier.channels.receipts import HookRequest
from notifier.channels.serving import Account, Registry
from notifier.channels.wire.http import Http
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.ids import show
from notifier.models import Receipt, Suppression
from notifier.pipeline.delivery.deliver import deliver
from tests.channels.adapters import test_email_mailgun as mailgun
from tests.channels.adapters import test_email_postmark as postmark
from tests.channels.adapters import test_email_sendgrid as sendgrid
from tests.channels.adapters import test_email_ses as ses
from tests.stored import deliveries, rows

pytestmark = pytest.mark.usefixtures("cast")


Call = Callable[[str, str], HookRequest]


@dataclass(frozen=True)
class Provider:
    """`answer`: to a mail. `calls`: what it tells, for a delivery's id and an id of its own for the event."""

    options: dict[str, str]
    path: str
    answer: tuple[int, dict[str, str], bytes]
    delivered: Call
    bounced: Call
    listed: Call | None = None  # not sent, since they complained before


def of_sendgrid(word: str, **fields: str) -> Call:
    return lambda delivery, event_id: sendgrid.signed(
        sendgrid.as_sent([sendgrid.event(word, **fields, notifier_delivery=delivery, sg_event_id=event_id)]), at=now()
    )


def of_ses(told: dict[str, Any]) -> Call:
    return lambda delivery, event_id: ses.call(
        ses.envelope({**told, "mail": {**ses.MAIL, "tags": {"notifier_delivery": [delivery]}}}, MessageId=event_id)
    )


def of_postmark(told: dict[str, Any]) -> Call:
    return lambda delivery, event_id: postmark.call(
        {**told, "Metadata": {"notifier_delivery": delivery}, "MessageID": event_id}
    )


def of_mailgun(told: dict[str, Any]) -> Call:
    return lambda delivery, event_id: mailgun.call(
        {**told, "user-variables": {"notifier_delivery": delivery}}, at=now(), token=event_id
    )


FROM = "Shop <orders@shop.test>"
PROVIDERS = {
    "ses": Provider(
        {
            "SES_REGION": "eu-central-1",
            "SES_ACCESS_KEY": ses.KEYS[0],
            "SES_SECRET_KEY": ses.KEYS[1],
            "SES_FROM": FROM,
            "SES_TOPIC_ARN": ses.TOPIC,
        },
        "/v2/email/outbound-emails",
        (200, {}, b'{"MessageId":"m1"}'),
        of_ses(ses.event("Delivery")),
        of_ses(ses.bounce("Permanent", "NoEmail")),
        of_ses(ses.complaint(complaintSubType="OnAccountSuppressionList")),
    ),
    "sendgrid": Provider(
        {"SENDGRID_API_KEY": "SG.x", "SENDGRID_FROM": FROM, "SENDGRID_WEBHOOK_KEY": sendgrid.PUBLIC_KEY},
        "/v3/mail/send",
        (202, {"X-Message-Id": "m1"}, b""),
        of_sendgrid("delivered"),
        of_sendgrid("bounce", type="bounce"),
        of_sendgrid("dropped", reason="Spam Reporting Address"),
    ),
    "postmark": Provider(
        {"POSTMARK_TOKEN": "x", "POSTMARK_FROM": FROM, "POSTMARK_HOOK_SECRET": postmark.SECRET},
        "/email",
        (200, {}, json.dumps({**postmark.ACCEPTED, "MessageID": "m1"}).encode()),
        of_postmark(postmark.record("Delivery", DeliveredAt="2026-12-01T08:59:30Z", Recipient="alice@shop.test")),
        of_postmark(postmark.bounce("HardBounce")),
    ),
    "mailgun": Provider(
        {
            "MAILGUN_API_KEY": "x",
            "MAILGUN_DOMAIN": "mg.shop.test",
            "MAILGUN_FROM": FROM,
            "MAILGUN_SIGNING_KEY": mailgun.KEY,
        },
        "/v3/mg.shop.test/messages.mime",
        (200, {}, b'{"id":"m1","message":"Queued. Thank you."}'),
        of_mailgun(mailgun.event("delivered")),
        of_mailgun(mailgun.failed("bounce")),
        of_mailgun(mailgun.failed("suppress-complaint")),
    ),
}
each = pytest.mark.parametrize("name", list(PROVIDERS))


@pytest.fixture
def world(app: APIFlask, secure_sink: Any, authority: Any) -> Iterator[Any]:
    """Every host by https: mails are taken as each provider takes them, and Amazon's certificate is there."""
    answers = {provider.path: secure_sink.answering(*provider.answer) for provider in PROVIDERS.values()}
    secure_sink.answers(200, {}, ses.certificate())
    secure_sink.choose = lambda request: answers.get(request.path, secure_sink.answer)
    http = Http(
        [ip_network("127.0.0.0/8")],
        resolve=lambda host, port: [("127.0.0.1", secure_sink.port)],
        tls=authority.trusted(),
    )
    before = app.extensions["channels"]
    app.extensions["channels"] = Registry(app.extensions["settings"], http=http)
    yield secure_sink
    app.extensions["channels"].close()
    app.extensions["channels"] = before


def send(submit: Callable[..., Any], name: str) -> str:
    """One mail, sent by that provider. → its delivery's id."""
    serving.registry().configure([Account(name, name, PROVIDERS[name].options)])
    submit(InlineRecipient("erin", {"email": "alice@shop.test"}), channels=("email",))
    [row] = deliveries(status="queued")
    deliver([row.id])
    return show("dlv", row.id)


def tell(client: FlaskClient, name: str, call: HookRequest) -> int:
    return client.post(f"/hooks/{name}", data=call.body, headers=dict(call.headers)).status_code


@each
def test_a_mail_is_sent_and_delivered(name: str, submit: Any, world: Any, client: FlaskClient) -> None:
    delivery = send(submit, name)
    [row] = deliveries()
    assert (row.status, row.provider, row.provider_message_id) == ("sent", name, "m1")
    assert [request.path for request in world.requests] == [PROVIDERS[name].path]
    assert tell(client, name, PROVIDERS[name].delivered(delivery, "e1")) == 200
    assert ([row.status for row in deliveries()], len(rows(Receipt))) == (["delivered"], 1)


@each
def test_an_address_that_bounces_is_never_written_to_again(
    name: str, submit: Any, world: Any, client: FlaskClient
) -> None:
    """However often the provider says so."""
    delivery = send(submit, name)
    calls = [PROVIDERS[name].bounced(delivery, "e1") for _ in range(2)]
    assert [tell(client, name, call) for call in calls] == [200, 200]
    assert ([row.status for row in deliveries()], len(rows(Receipt))) == (["bounced"], 1)
    assert [(row.channel, row.scope) for row in rows(Suppression)] == [("email", "*")]


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if provider.listed])
def test_whoever_complained_before_gets_no_offers_and_still_everything_else(
    name: str, submit: Any, world: Any, client: FlaskClient
) -> None:
    listed = PROVIDERS[name].listed
    assert listed
    assert tell(client, name, listed(send(submit, name), "e1")) == 200
    assert [row.status for row in deliveries()] == ["failed"]
    assert sorted((row.channel, row.scope) for row in rows(Suppression)) == [
        ("email", "marketing"),
        ("email", "social"),
    ]


@each
def test_what_came_to_another_accounts_hook_is_not_heard(
    name: str, submit: Any, world: Any, client: FlaskClient
) -> None:
    """Or was changed on the way, or is nobody's."""
    delivery = send(submit, name)
    call = PROVIDERS[name].bounced(delivery, "e1")
    bare = HookRequest("POST", call.url, {"content-type": "application/json"}, b"{}", now())
    assert tell(client, name, bare) in (400, 401)
    assert tell(client, "nobody", call) == 404
    serving.registry().configure([Account(name, name, {**PROVIDERS[name].options, **OTHERS[name]})])
    assert tell(client, name, call) == 401
    assert ([row.status for row in deliveries()], rows(Receipt), rows(Suppression)) == (["sent"], [], [])


# What verifies the calls of another account.
OTHERS = {
    "ses": {"SES_TOPIC_ARN": ses.TOPIC + "-2"},
    "sendgrid": {"SENDGRID_WEBHOOK_KEY": sendgrid.PUBLISHED_KEY},
    "postmark": {"POSTMARK_HOOK_SECRET": "another"},
    "mailgun": {"MAILGUN_SIGNING_KEY": "another"},
}


def test_while_amazons_certificate_cannot_be_had_its_topic_is_asked_to_come_again(
    submit: Any, world: Any, client: FlaskClient
) -> None:
    delivery = send(submit, "ses")
    call = PROVIDERS["ses"].delivered(delivery, "e1")
    world.answers(500)
    assert tell(client, "ses", call) == 503
    world.answers(200, {}, ses.certificate())
    assert tell(client, "ses", call) == 200
    assert [row.status for row in deliveries()] == ["delivered"]
