"""For whoever builds a receiver: what an attempt sent, to the byte, how it was signed, and the same event once more.

Nothing is stored for it: an event's body is made of the stream again, as for every try, and a ping's of its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from notifier.channels.wire import standard_webhooks
from notifier.core.errors import Rejected
from notifier.core.subscriptions import PING
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.models import Subscription, SubscriptionRetry
from notifier.queries import shown_events
from notifier.queries import subscriptions as queries
from notifier.subscriptions import registered
from notifier.subscriptions.lease import signing
from notifier.subscriptions.reading import body_of, body_of_ping


@dataclass(frozen=True, slots=True)
class Sent:
    """`body` None: the event has been pruned, or there was none. `is_newer`: the secret has been replaced since, so the
    signature shown is not the one that was sent.
    """

    attempt: Mapping[str, Any]
    body: str | None
    headers: Mapping[str, str]
    signed: str
    is_newer: bool


def sent(subscription_id: UUID, attempt_id: str) -> Sent:
    """Raises Rejected('not_found')."""
    attempt = queries.attempt(subscription_id, attempt_id)
    row = db.session.get_one(Subscription, subscription_id)
    body = _body(attempt)
    if body is None:
        return Sent(attempt, None, {}, "", is_newer=False)
    headers = standard_webhooks.headers(attempt["event"], body, signing(row, attempt["made_at"]), attempt["made_at"])
    content = f"{attempt['event']}.{headers['webhook-timestamp']}.{body}"
    replaced_at = row.previous_until and row.previous_until - registered.OVERLAP
    return Sent(attempt, body, headers, content, is_newer=bool(replaced_at and attempt["made_at"] < replaced_at))


def _body(attempt: Mapping[str, Any]) -> str | None:
    if attempt["event"] is None:
        return None
    if attempt["type"] == PING:
        return body_of_ping(attempt["event"])
    event = shown_events.of_webhook(attempt["event"])
    return None if event is None else body_of(shown_events.shown([event])[0])


def resend(subscription_id: UUID, attempt_id: str) -> None:
    """The same event once more, soon, with its id and with all its tries; a ping becomes a new one. Raises Rejected
    where it is gone, or nothing is sent to the subscription.
    """
    attempt = queries.attempt(subscription_id, attempt_id)
    if attempt["type"] == PING:
        registered.ask_for_ping(subscription_id)
        return
    event = shown_events.of_webhook(attempt["event"]) if attempt["event"] else None
    if event is None:
        raise Rejected("conflict", "the event is no longer kept")
    with registered.changing(subscription_id) as row:
        if row.disabled_at is not None:
            raise Rejected("conflict", "the subscription is disabled: nothing is sent to it")
        now = clock_now()
        again = {"tries": 0, "first_at": now, "due_at": now}
        added = insert(SubscriptionRetry.__table__).values(
            subscription_id=subscription_id, event_id=event.id, webhook_id=attempt["event"], kind=event.kind, **again
        )
        db.session.execute(added.on_conflict_do_update(index_elements=["subscription_id", "event_id"], set_=again))
        row.wake_at = now
        registered.note("event_resent", row, after={"event": attempt["event"]})
