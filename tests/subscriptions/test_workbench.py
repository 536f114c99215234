"""The workbench: what it shows is what was sent, byte for byte, and what it sends again is the same event."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from docs.receiving.receiver import Receiver, fault
from notifier.core.errors import Rejected
from notifier.core.subscriptions import TRIED_FOR
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import show
from notifier.models import AuditEntry, Event, Subscription, SubscriptionAttempt, SubscriptionRetry
from notifier.queries import subscriptions as queries
from notifier.subscriptions import registered, turn, workbench
from notifier.subscriptions.registered import Rights
from tests.stored import rows
from tests.subscriptions.conftest import Subscriber, happened

Subscribe = Callable[..., UUID]
NOBODY = Rights(None, sees_people=False, sees_all=False)


def attempts() -> list[str]:
    return [show("att", row.id) for row in rows(SubscriptionAttempt)]


def test_what_is_shown_is_what_was_sent(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    happened("first")
    registered.ask_for_ping(key)
    turn.take(key)
    shown = [workbench.sent(key, one) for one in attempts()]
    by_id = {call.id: call for call in subscriber.calls}
    assert {one.attempt["type"] for one in shown} == {"ping", "delivery.sent"}
    for one in shown:
        call = by_id[one.headers["webhook-id"]]
        assert one.body is not None
        assert one.body.encode() == call.body
        assert (
            one.headers.items()
            <= {
                "Content-Type": call.headers["content-type"],
                **{name: value for name, value in call.headers.items() if name.startswith("webhook-")},
            }.items()
        )
        assert one.signed == f"{call.id}.{call.headers['webhook-timestamp']}.{call.body.decode()}"
        assert one.is_newer is False


def test_a_secret_that_was_replaced_since_is_told(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    registered.ask_for_ping(key)
    turn.take(key)
    registered.rotate_secret(key, NOBODY)
    [attempt] = attempts()
    assert workbench.sent(key, attempt).is_newer


def test_an_event_is_sent_once_more_with_its_id(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    happened("first", "second")
    turn.take(key)
    first = attempts()[0]
    event = workbench.sent(key, first).attempt["event"]
    workbench.resend(key, first)
    workbench.resend(key, first)  # asked for twice, it waits once
    turn.take(key)
    assert [call.id for call in subscriber.calls].count(event) == 2
    assert len(subscriber.calls) == 3
    assert rows(SubscriptionRetry) == []
    told = [entry.after for entry in rows(AuditEntry) if entry.action == "subscription.event_resent"]
    assert told == [{"event": event}] * 2


def test_an_event_that_waits_for_its_last_try_has_all_of_them_again(
    subscriber: Subscriber, subscribe: Subscribe
) -> None:
    subscriber.answer = lambda _call: 500
    key = subscribe()
    happened("a")
    turn.take(key)
    with transaction() as session:
        session.execute(sa.update(SubscriptionRetry).values(tries=20, first_at=now() - TRIED_FOR))
    workbench.resend(key, attempts()[0])
    turn.take(key)
    [waiting] = rows(SubscriptionRetry)
    assert (len(subscriber.calls), waiting.tries) == (2, 1)


def test_a_ping_that_is_sent_again_is_a_new_one(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key = subscribe()
    registered.ask_for_ping(key)
    turn.take(key)
    workbench.resend(key, attempts()[0])
    turn.take(key)
    one, two = subscriber.calls
    assert (one.event["type"], two.event["type"], one.id == two.id) == ("ping", "ping", False)


def test_what_is_gone_or_off_is_not_sent_again(subscriber: Subscriber, subscribe: Subscribe) -> None:
    key, other = subscribe(), subscribe("/other")
    happened("first")
    turn.take(key)
    [attempt] = attempts()
    with pytest.raises(Rejected, match="no such attempt"):
        workbench.resend(other, attempt)
    registered.change(key, NOBODY, {"disabled": True})
    with pytest.raises(Rejected, match="disabled"):
        workbench.resend(key, attempt)
    with transaction() as session:
        session.execute(sa.delete(Event))
    with pytest.raises(Rejected, match="no longer kept"):
        workbench.resend(key, attempt)
    assert workbench.sent(key, attempt).body is None
    assert rows(SubscriptionRetry) == []


def test_failures_are_looked_for_a_window_at_a_time(subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch) -> None:
    key, begun = subscribe(), now()
    outcomes = ["failed", "sent", "sent", "failed", "sent"]
    for number, outcome in enumerate(outcomes):
        with transaction() as session:
            at = begun + timedelta(seconds=number)
            session.add(SubscriptionAttempt(subscription_id=key, outcome=outcome, code=str(number), at=at))
    monkeypatch.setattr(queries, "LOOKED_AT", 3)

    first = queries.attempts(key, None, 50, only_failed=True)
    second = queries.attempts(key, first["next"], 50, only_failed=True)

    assert [[one["code"] for one in page["data"]] for page in (first, second)] == [["3"], ["0"]]
    assert second["next"] is None
    limited = queries.attempts(key, None, 1, only_failed=True)
    assert [one["code"] for one in limited["data"]] == ["3"]
    assert limited["next"] is not None


# ---- the receiver of the documentation ------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(0, "")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_receiver_of_the_documentation_takes_what_is_signed_and_knows_repeats(
    receiver: Receiver, subscriber: Subscriber, subscribe: Subscribe, capsys: pytest.CaptureFixture[str]
) -> None:
    subscriber.port = receiver.server_address[1]
    key = subscribe()
    receiver.secret = rows(Subscription)[0].secret
    happened("first")
    turn.take(key)
    workbench.resend(key, attempts()[0])
    turn.take(key)
    receiver.secret = "whsec_" + "A" * 44
    registered.ask_for_ping(key)
    turn.take(key)
    told = capsys.readouterr().out.splitlines()
    one, repeat, refused = (line for line in told if line.startswith(("delivery.sent evt_", "REFUSED")))
    assert (one.split()[0], "repeat" in one, "(a repeat)" in repeat) == ("delivery.sent", False, True)
    assert refused == "REFUSED: no signature is by our secret"
    assert [row.code for row in rows(SubscriptionAttempt)] == [None, None, "http_401"]


SECRET = "whsec_" + "A" * 44
HEADERS = {"webhook-id": "evt_1", "webhook-timestamp": "1000", "webhook-signature": "v1,AAAA v1,BBBB"}


@pytest.mark.parametrize(
    ("changes", "at", "said"),
    [
        ({}, 1_000.0, "no signature"),
        ({"webhook-timestamp": "x"}, 1_000.0, "five minutes"),
        ({"webhook-timestamp": ""}, 1_000.0, "five minutes"),
        ({}, 1_301.0, "five minutes"),
        ({}, 699.0, "five minutes"),
        ({"webhook-signature": ""}, 1_000.0, "no signature"),
        ({"webhook-signature": "v1,ü"}, 1_000.0, "no signature"),
    ],
)
def test_the_receiver_of_the_documentation_refuses(changes: dict[str, str], at: float, said: str) -> None:
    found = fault({**HEADERS, **changes}, b"{}", SECRET, at)
    assert found is not None
    assert said in found
