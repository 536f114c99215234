"""What the event stream is told of a delivery, from acceptance to the provider's last word."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import show
from notifier.models import Address, Delivery, Event
from notifier.people import profiles
from notifier.pipeline.delivery.deliver import begin, deliver
from notifier.pipeline.intake import cancel
from notifier.pipeline.upkeep import lapsed, lost
from tests.acme import Server, event, tell
from tests.conftest import subject_of
from tests.stored import deliveries, rows, sent_statements
from tests.submitting import Mailbox

Submit = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("cast")


def told(since: int = 0) -> list[tuple[str, str | None, str | None]]:
    return [(row.kind, row.channel, row.reason) for row in rows(Event) if row.id > since]


def last() -> int:
    return max((row.id for row in rows(Event)), default=0)


def sent(submit: Submit, *people: Any, **fields: Any) -> Delivery:
    submit(*(people or ("alice",)), channels=("email",), **fields)
    [row] = deliveries(status="queued")
    deliver([row.id])
    [row] = deliveries()
    return row


def test_first_statuses_are_told_and_steps_of_ours_are_not(submit: Submit) -> None:
    submit("alice", "dave", channels=("inapp", "email"))
    assert sorted(told(), key=str) == [
        ("delivery.delivered", "inapp", None),
        ("delivery.delivered", "inapp", None),
        ("delivery.skipped", "email", "no_address"),
    ]  # alice's mail is queued
    [queued] = deliveries(status="queued")
    since = last()
    begin([queued.id])
    assert told(since) == []


def test_a_send_is_told(submit: Submit, acme: Server) -> None:
    row = sent(submit)
    [first] = rows(Event)
    shown = (first.kind, first.delivery_id, first.notification_id, first.user_id, first.provider, first.address_masked)
    assert shown == ("delivery.sent", row.id, row.notification_id, "alice", "acme", row.address_masked)
    assert (first.type, first.category, first.is_test) == ("order_shipped", "transactional", False)


def test_all_that_a_provider_tells_at_once_is_told_in_order(submit: Submit, acme: Server, client: FlaskClient) -> None:
    row = sent(submit)
    of = {"delivery_id": show("dlv", row.id)}
    opened, delivered = event("opened", "2", ago=1, **of), event("delivered", "1", ago=2, **of)
    for _ in range(2):
        tell(client, opened, delivered)
    assert [kind for kind, *_ in told()] == ["delivery.sent", "delivery.delivered", "delivery.opened"]


def test_bounce_and_complaint_are_told_with_what_follows(submit: Submit, acme: Server, client: FlaskClient) -> None:
    row = sent(submit)
    since = last()
    of = {"delivery_id": show("dlv", row.id)}
    tell(client, event("bounced", "1", code="550", **of), event("complained", "2", **of))
    assert sorted(told(since), key=str) == [
        ("address.disabled", "email", "550"),
        ("delivery.bounced", "email", None),
        ("delivery.complained", "email", None),
    ]
    assert {one.user_id for one in rows(Event)} == {"alice"}
    since = last()
    tell(client, event("bounced", "3", code="551", **of))
    assert told(since) == []  # the address is off already


def test_an_address_that_a_send_condemns_is_told(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    mailbox.refusal = "550 5.1.1 no such user"
    configure(main=mailbox.url)
    sent(submit)
    [address] = rows(Address, user_id="alice", channel="email")
    assert address.disabled_at is not None
    assert told() == [("delivery.failed", "email", None), ("address.disabled", "email", address.disabled_reason)]


def test_an_unsubscribe_by_the_providers_link_is_told_once(submit: Submit, acme: Server, client: FlaskClient) -> None:
    row = sent(submit, type="newsletter", data={"title": "T", "body": "B"})
    since = last()
    of = {"delivery_id": show("dlv", row.id)}
    tell(client, event("unsubscribed", "1", **of))
    tell(client, event("unsubscribed", "2", **of))
    assert told(since) == [("user.unsubscribed", "email", None)]
    assert rows(Event)[-1].delivery_id == row.id


def test_an_unsubscribe_by_one_click_is_told_once(client: FlaskClient) -> None:
    link = f"/u/{tokens.sign_unsubscribe(subject_of('alice'), 'marketing', 'email')}"
    for _ in range(2):
        client.post(link)
    [one] = rows(Event)
    assert (one.kind, one.user_id, one.category, one.channel) == ("user.unsubscribed", "alice", "marketing", "email")
    assert (one.producer_id, one.notification_id) == (None, None)


def test_an_unsubscribe_of_nobodys_address_is_told_without_it(client: FlaskClient) -> None:
    link = f"/u/{tokens.sign_address_unsubscribe(b'd' * 32, 'marketing', 'email')}"
    for _ in range(2):
        client.post(link)
    [one] = rows(Event)
    assert (one.kind, one.user_id, one.category, one.channel) == ("user.unsubscribed", None, "marketing", "email")


def test_what_ends_unsent_is_told(submit: Submit) -> None:
    submit("alice", channels=("email",))
    [row] = deliveries()
    cancel.cancel(row.notification_id)
    assert told() == [("delivery.cancelled", "email", "cancelled")]
    submit("bob", channels=("email",))
    [queued] = deliveries(status="queued")
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.id == queued.id).values(expires_at=now(), wake_at=now()))
    lost.ring_lost()
    assert told()[1:] == [("delivery.expired", "email", "expired")]


def test_a_send_that_nobody_knows_the_end_of_is_told(submit: Submit) -> None:
    submit("alice", type="newsletter", data={"title": "T", "body": "B"}, channels=("email",))
    [row] = deliveries(status="queued")
    begin([row.id])
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now()))
    lapsed.free_lapsed()
    assert told() == [("delivery.unknown", "email", None)]


def test_of_an_erased_person_nothing_is_told_but_that_it_happened(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    row = sent(submit)
    profiles.erase("alice")
    tell(client, event("delivered", delivery_id=show("dlv", row.id)))
    assert [(one.kind, one.user_id, one.address_masked) for one in rows(Event)] == [
        ("delivery.sent", None, None),
        ("delivery.delivered", None, None),
    ]


@pytest.mark.parametrize("size", [1, 60])
def test_a_batch_is_told_by_one_statement(submit: Submit, acme: Server, size: int) -> None:
    submit(*(InlineRecipient(f"p{n}", {"email": f"p{n}@example.test"}) for n in range(size)), channels=("email",))
    with sent_statements() as asked:
        deliver([row.id for row in deliveries(status="queued")])
    assert sum("INTO event " in statement for statement in asked) == 1
    assert len(rows(Event)) == size
