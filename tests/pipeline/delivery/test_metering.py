"""What Prometheus is told of deliveries, from the request to a receipt."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.core.submission import InlineRecipient
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.item import Caller
from tests.acme import Server, event, tell
from tests.metered import growth
from tests.stored import deliveries
from tests.submitting import Mailbox

Submit = Callable[..., Any]
Configure = Callable[..., None]


def email(word: str) -> InlineRecipient:
    return InlineRecipient(f"user-{word}", {"email": f"{word}@sandbox.test"})


# word → counts beside that of the call, and the outcome of the call
ENDS = [
    ("delivered", {"notifier_deliveries_total": {"sent", "delivered"}}, "taken"),
    ("rejected", {"notifier_deliveries_total": {"failed"}}, "permanent"),
    ("dead", {"notifier_deliveries_total": {"failed"}}, "invalid_recipient"),
    ("soft-fail", {"notifier_retries_total": {None}}, "retryable"),
    ("throttled", {"notifier_retries_total": {None}}, "rate_limited"),
]


@pytest.mark.parametrize(("word", "counts", "outcome"), ENDS)
def test_a_send_counts_its_call_and_what_became_of_the_delivery(
    app: APIFlask, submit: Submit, word: str, counts: dict[str, set[str | None]], outcome: str
) -> None:
    submit(email(word), channels=("email",))
    with growth() as grown:
        deliver([row.id for row in deliveries()])
    assert grown[f"notifier_attempts_total{{outcome={outcome},provider=sandbox}}"] == 1
    assert grown["notifier_attempt_seconds_count{provider=sandbox}"] == 1
    told = {name: value for name, value in grown.items() if name.startswith(tuple(counts))}
    assert told == {
        f"{name}{{channel=email,{'' if end is None else f'outcome={end},'}provider=sandbox}}": 1
        for name, ends in counts.items()
        for end in ends
    }
    arrived = word == "delivered"
    for name in ("sent", "delivered"):
        assert (f"notifier_delivery_{name}_seconds_count{{channel=email,priority=high}}" in grown) == arrived


def test_what_is_accepted_is_counted_by_type_and_its_deliveries_by_producer(app: APIFlask, submit: Submit) -> None:
    people = (InlineRecipient("ann", {"name": "Ann"}), InlineRecipient("ben", {"name": "Ben"}))
    with growth() as grown:
        submit(*people, type="comment", data={"actor": "Zoe"}, channels=("inapp", "sms"))
    assert grown["notifier_notifications_accepted_total{category=social,type=comment}"] == 2
    for outcome in ("accepted", "skipped", "sent", "delivered"):
        assert grown[f"notifier_producer_deliveries_total{{outcome={outcome},producer=Shop}}"] == 2
    assert grown["notifier_deliveries_total{channel=inapp,outcome=delivered,provider=inapp}"] == 2
    assert grown["notifier_delivery_sent_seconds_count{channel=inapp,priority=medium}"] == 2


def test_messages_of_test_keys_are_not_counted(app: APIFlask, submit: Submit, caller: Caller) -> None:
    with growth() as grown:
        submit(email("rejected"), channels=("email",), caller=replace(caller, is_test=True))
        deliver([row.id for row in deliveries()])
    assert [name for name in grown if name.startswith(("notifier_del", "notifier_att", "notifier_not"))] == []


def test_a_delivery_that_another_provider_takes_is_a_failover(
    app: APIFlask, submit: Submit, configure: Configure, nobody: str, mailbox: Mailbox
) -> None:
    configure(main=nobody, spare=mailbox.url)
    submit(InlineRecipient("eve", {"email": "eve@x.test"}), channels=("email",))
    with growth() as grown:
        deliver([row.id for row in deliveries()])
    assert grown["notifier_failovers_total{channel=email,provider=main}"] == 1
    assert grown["notifier_deliveries_total{channel=email,outcome=sent,provider=spare}"] == 1


def test_a_channel_that_begins_for_another_is_a_fallback(app: APIFlask, submit: Submit) -> None:
    eve = InlineRecipient("eve", {"email": "eve@x.test", "phone": "+15550100002"})
    submit(eve, type="one_time_code", data={"code": "1234"}, routing="first")
    with growth() as grown:
        deliver([row.id for row in deliveries(channel="sms")])
    assert grown["notifier_fallbacks_total{channel=email}"] == 1


def test_what_a_provider_tells_later_is_counted_once(
    acme: Server, app: APIFlask, client: FlaskClient, submit: Submit
) -> None:
    submit(InlineRecipient("eve", {"email": "eve@x.test"}), channels=("email",))
    deliver([row.id for row in deliveries()])
    message = acme.sent[0][2]
    with growth() as grown:
        for _ in range(2):
            tell(client, event("delivered", "e1", provider_message_id=message))
        tell(client, event("bounced", "e2", provider_message_id=message))
    of_email = "notifier_deliveries_total{{channel=email,outcome={},provider=acme}}"
    assert {name: n for name, n in grown.items() if name.startswith("notifier_deliveries")} == {
        of_email.format("delivered"): 1,
        of_email.format("bounced"): 1,
    }
    assert grown["notifier_receipts_total{kind=delivered,provider=acme}"] == 1
    assert grown["notifier_delivery_delivered_seconds_count{channel=email,priority=high}"] == 1
