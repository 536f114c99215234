"""Subscriptions as producers and operators manage them: made, changed, removed, tested, replayed.

Whoever calls has checked that the subscription is in the caller's sight. Rejected names what is wrong by pointer; then
nothing is stored.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_types
from notifier.channels import serving
from notifier.channels.table import WEBHOOK
from notifier.channels.wire import standard_webhooks
from notifier.core import revisions
from notifier.core import subscriptions as rules
from notifier.core.errors import Fault, Rejected
from notifier.core.revisions import refuse_stale
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ground.shapes import timestamp
from notifier.ledgers import audit
from notifier.models import Producer, Subscription, SubscriptionRetry
from notifier.models.subscription import ASKED
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.intake.item import Caller
from notifier.queries import events as stream
from notifier.queries import webhook_targets
from notifier.subscriptions.lease import signing

MOST = 1_000  # of a producer
OVERLAP = timedelta(hours=24)  # in which the secret before signs too
MOST_PREVIOUS = 2  # secrets that sign beside the present one
_OF_PEOPLE = ("users", "to hear of people's own wishes")
_OF_ALL = ("admin", "to hear of all producers' notifications")
_HARMLESS = {"description", "disabled"}  # they change neither who is told nor of what


@dataclass(frozen=True, slots=True)
class Rights:
    """Of the key that asks: it may be told of people's own wishes, and of everybody's notifications. `key_id` None: no
    key asks but a person in the console, who may neither.
    """

    key_id: UUID | None
    sees_people: bool
    sees_all: bool


class Made(NamedTuple):
    subscription_id: UUID
    secret: str
    is_replay: bool


def create(
    caller: Caller, rights: Rights, given: Mapping[str, Any], idempotency: tuple[str, str] | None = None
) -> Made:
    """`given`: url, events, types, description, all_producers. It begins with the events to come.

    `idempotency`: a key and the digest of the body. Repeats are answered as the first call was. Raises Rejected.
    """
    producer_id = caller.producer_id
    assert producer_id is not None, "Notifier itself subscribes to nothing"
    columns = _checked(given, rights, producer_id)
    position = stream.end()
    row = Subscription(
        id=new_id(),
        producer_id=producer_id,
        key_id=rights.key_id,
        is_test=caller.is_test,
        secret=standard_webhooks.new_secret(),
        position=position,
        **columns,
    )
    with transaction() as session:
        if idempotency:
            first = idempotency_keys.take(caller, *idempotency, {"subscription": row.id.hex})["subscription"]
            if first != row.id.hex:
                stored = session.get(Subscription, UUID(first))
                if stored is None:
                    raise Rejected("not_found", "the subscription made with this idempotency key has been deleted")
                return Made(stored.id, stored.secret, is_replay=True)
        # Locked, so that two calls at once cannot both be the last one
        session.execute(sa.select(Producer.id).where(Producer.id == producer_id).with_for_update())
        count = session.scalar(sa.select(sa.func.count()).where(Subscription.producer_id == producer_id)) or 0
        if count >= MOST:
            raise Rejected("too_many", f"a producer has at most {MOST:,} subscriptions; delete one first")
        session.add(row)
        note("created", row, after=_told(row))
    return Made(row.id, row.secret, is_replay=False)


def revision_of(url: str, kinds: Sequence[str], types: Sequence[str] | None, description: str | None) -> str:
    return revisions.revision_of(url, list(kinds), types, description)


def change(subscription_id: UUID, rights: Rights, given: Mapping[str, Any], *, seen: str | None = None) -> None:
    """`given`: those of url, events, types, description, all_producers, disabled that are to change. Switched on again
    it goes on where it stopped. `seen`: the `revision_of` what somebody was shown. Raises Rejected.
    """
    columns = _checked(given, rights, _producer_of(subscription_id) if "url" in given else None)
    if "events" in given or "all_producers" in given:
        columns["key_id"] = rights.key_id
    with changing(subscription_id) as row:
        refuse_stale(seen, revision_of(row.url, row.kinds, row.types, row.description), "this webhook")
        if not given.keys() <= _HARMLESS:
            _check_holder(columns.get("sees_people", row.sees_people), columns.get("sees_all", row.sees_all), rights)
        before = _told(row)
        if columns.get("url", row.url) != row.url:
            row.turn += 1  # what is on its way to the old one records nothing any more
            row.leased_until = row.failing_since = None
            _try_soon(row)
        for name, value in columns.items():
            setattr(row, name, value)
        if "disabled" in given and given["disabled"] != (row.disabled_at is not None):
            _switch(row, is_on=not given["disabled"])
        note("changed", row, before=before, after=_told(row))


def _switch(row: Subscription, *, is_on: bool) -> None:
    row.disabled_at, row.disabled_reason = (None, None) if is_on else (clock_now(), ASKED)
    row.failing_since = row.told_at = None
    if is_on:
        _try_soon(row)


def _try_soon(row: Subscription) -> None:
    now = clock_now()
    row.is_slow, row.wake_at = False, now
    waiting = sa.update(SubscriptionRetry).where(SubscriptionRetry.subscription_id == row.id)
    db.session.execute(waiting.values(due_at=now).execution_options(synchronize_session=False))


def remove(subscription_id: UUID) -> None:
    with changing(subscription_id) as row:
        note("deleted", row, before=_told(row))
        db.session.delete(row)


def rotate_secret(subscription_id: UUID, rights: Rights) -> tuple[str, datetime]:
    """→ the new secret, and until when the present one signs too. So does the one before, if it still did: whoever has
    lost the new secret makes another, while the receiver has the old one yet. Raises Rejected.
    """
    with changing(subscription_id) as row:
        _check_holder(row.sees_people, row.sees_all, rights)
        now = clock_now()
        until = now + OVERLAP
        row.previous_secret = " ".join(signing(row, now)[:MOST_PREVIOUS])
        row.previous_until = until
        row.secret = secret = standard_webhooks.new_secret()
        note("secret_rotated", row)
    return secret, until


def ask_for_ping(subscription_id: UUID) -> str:
    """→ the id of the ping that a worker sends next. Raises Rejected where it is disabled."""
    with changing(subscription_id) as row:
        if row.disabled_at is not None:
            raise Rejected("conflict", "the subscription is disabled: nothing is sent to it")
        row.ping = row.ping or f"evt_{new_id().hex}"
        row.wake_at = clock_now()
        return row.ping


def replay(subscription_id: UUID, since: datetime, until: datetime) -> None:
    """Sends the events of that time once more, with the ids that they had. Raises Rejected: where some of that time
    have been deleted, or another replay has not ended.
    """
    oldest = stream.oldest_at()
    if since >= until:
        raise _refused("/until", "wrong_order", "this must be later than `since`")
    if oldest is not None and since < oldest:
        raise _refused(
            "/since", "events_deleted", f"events before {timestamp(oldest)}, the oldest kept, have been deleted"
        )
    first, last = stream.span(since, until)
    with changing(subscription_id) as row:
        if row.replay_position is not None:
            raise Rejected("conflict", "a replay is running; wait for its end")
        row.replay_position, row.replay_end = max(first, stream.pruned()), last  # from then on none may be missed
        row.replay_since, row.replay_until = since, until
        row.wake_at = clock_now()


# ---- what is given --------------------------------------------------------------------------------------------------


def _producer_of(subscription_id: UUID) -> UUID | None:
    return db.session.scalar(sa.select(Subscription.producer_id).where(Subscription.id == subscription_id))


def _checked(given: Mapping[str, Any], rights: Rights, producer_id: UUID | None) -> dict[str, Any]:
    """The columns that it fills. `producer_id`: whose list of webhook targets holds for a URL. Raises Rejected with
    every fault, or for a scope that is missing.
    """
    faults: list[Fault] = []
    columns: dict[str, Any] = {}
    if "url" in given:
        columns["url"], found = _url(given["url"], producer_id)
        faults += found
    if "events" in given:
        columns["kinds"] = list(dict.fromkeys(given["events"]))
        faults += _unknown_events(given["events"])
    if "types" in given:
        columns["types"] = None if given["types"] is None else list(dict.fromkeys(given["types"]))
        faults += _unknown_types(given["types"] or ())
    if "description" in given:
        columns["description"] = given["description"]
    if faults:
        raise Rejected("validation_failed", faults[0].message, tuple(faults))
    if "events" in given:
        wants_people = any(map(rules.is_of_people, rules.kinds_of(given["events"])))
        columns["sees_people"] = _granted(wants_people, rights.sees_people, *_OF_PEOPLE)
    if "all_producers" in given:
        wants_all = bool(given["all_producers"])
        columns["sees_all"] = _granted(wants_all, rights.sees_all, *_OF_ALL)
    return columns


def _check_holder(sees_people: bool, sees_all: bool, rights: Rights) -> None:
    """Whoever could turn a subscription to a URL of their own must be allowed to hear all that it tells. In the console
    only admins can. Raises Rejected.
    """
    if rights.key_id is not None:
        _granted(sees_people, rights.sees_people, *_OF_PEOPLE)
        _granted(sees_all, rights.sees_all, *_OF_ALL)


def _granted(is_wanted: bool, may: bool, scope: str, why: str) -> bool:
    if is_wanted and not may:
        raise Rejected("scope_missing", f"{why} needs the scope {scope}")
    return is_wanted


def _url(text: str, producer_id: UUID | None) -> tuple[str, list[Fault]]:
    try:
        url = serving.normalise(WEBHOOK.name, text)
    except ValueError as error:
        return text, [Fault("/url", "invalid_url", str(error))]
    barred = serving.registry().why_not(WEBHOOK.name, url, webhook_targets.lists_of(producer_id))
    return url, [Fault("/url", barred.code, barred.sentence)] if barred else []


def _unknown_events(patterns: Collection[str]) -> list[Fault]:
    known = ", ".join(rules.NAMES)
    return [
        Fault(f"/events/{index}", "unknown_event", f"there is no event {pattern!r}; there are {known}")
        for index, pattern in enumerate(patterns)
        if not rules.named(pattern)
    ]


def _unknown_types(types: Collection[str]) -> list[Fault]:
    known = load_types(set(types)) if types else {}
    return [
        Fault(f"/types/{index}", "unknown_type", f"there is no event type {key!r}")
        for index, key in enumerate(types)
        if key not in known
    ]


def _refused(pointer: str, code: str, message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault(pointer, code, message),))


@contextmanager
def changing(subscription_id: UUID) -> "Iterator[Subscription]":
    with transaction() as session:
        row = session.get(Subscription, subscription_id, with_for_update=True, populate_existing=True)
        if row is None:
            raise Rejected("not_found", "there is no such subscription")
        yield row


def note(what: str, row: Subscription, **states: Any) -> None:
    """In the audit trail, where test keys leave nothing."""
    if not row.is_test:
        audit.write(f"subscription.{what}", serving.mask(WEBHOOK.name, row.url), **states)


def _told(row: Subscription) -> dict[str, Any]:
    """For the audit trail: the path of a URL may hold a secret."""
    return {
        "url": serving.mask(WEBHOOK.name, row.url),
        "events": row.kinds,
        "types": row.types,
        "all_producers": row.sees_all,
        "disabled": row.disabled_reason,
    }
