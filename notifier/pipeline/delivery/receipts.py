"""What providers say of messages later: each event is stored once, matched to its delivery, and applied once; one whose
delivery is not known yet, or is being sent at this moment, is kept until it is.

Called by the hooks' door (`submit`), by `delivery.record` and `upkeep.lapsed` for what was kept, and by the scheduler.
`delivery.consequences` says what follows. Every path takes a list and sends a constant number of statements.
"""

import functools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog
from flask import current_app

from notifier.channels import CHANNELS, serving
from notifier.channels.addresses import digest_of
from notifier.channels.receipts import Event
from notifier.core import lifecycle
from notifier.core.errors import Rejected
from notifier.core.masking import masked
from notifier.core.receipts import BY_ADDRESS
from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE, insert, retried, transaction
from notifier.ground.extensions import db
from notifier.ground.group_commit import GroupCommit
from notifier.ground.ids import parse, show
from notifier.models import Attempt, Delivery, Notification, Receipt
from notifier.pipeline.delivery.consequences import CONCERNS_ADDRESS, Drawn, Word, draw, obey_stops
from notifier.pipeline.delivery.finished import Finished
from notifier.pipeline.delivery.task import LEASE_LAPSED
from notifier.signals.queueing import forget_failed, restore_failed, ring

MOST_AT_ONCE = 100  # events in a transaction: SQLite holds up the whole web process for some 20 ms meanwhile
BATCH = 500  # kept ones that the scheduler looks at
KEPT = timedelta(days=10)  # longer than any provider repeats
_FIRST_LOOK = timedelta(seconds=2)
_LOOKED_FOR = timedelta(days=1)  # then only a record or a lapsed lease finds it
_LONGEST_DETAIL = 2_000

_receipts: sa.Table = Receipt.__table__
_deliveries: sa.Table = Delivery.__table__
_notifications: sa.Table = Notification.__table__
DELIVERY: tuple[sa.Column[Any], ...] = tuple(
    _deliveries.c[name]
    for name in (
        *("id", "notification_id", "channel", "priority", "status", "reason", "address_id", "address_masked"),
        *("provider", "provider_message_id", "tries", "outcome", "code", "failed_at", "failed_type", "wake_at"),
        *("held_for", "sent_at", "delivered_at", "opened_at", "clicked_at"),
    )
) + tuple(_notifications.c[name] for name in ("user_id", "type", "category", "is_test", "routing"))

# Made once: building them takes as long as running them. Without the empty lists, which would keep indexes from being
# used.
_BY = {
    "ids": (_deliveries.c.id, _receipts.c.reference),
    "messages": (_deliveries.c.provider_message_id, _receipts.c.provider_message_id),
}
_GIVEN: tuple[tuple[str, ...], ...] = (("ids",), ("messages",), ("ids", "messages"))
_LOCKED = {
    names: sa.select(*DELIVERY)
    .join(_notifications, _notifications.c.id == _deliveries.c.notification_id)
    .where(sa.or_(*(_BY[name][0].in_(sa.bindparam(name, expanding=True)) for name in names)))
    .order_by(_deliveries.c.id)
    .with_for_update(of=_deliveries, key_share=True)
    for names in _GIVEN
}
# Not OR: SQLite would read all that is kept
_KEPT_ABOUT = {
    names: sa.union(
        *(
            sa.select(_receipts.c.id).where(
                _receipts.c.applied_at.is_(None), _BY[name][1].in_(sa.bindparam(name, expanding=True))
            )
            for name in names
        )
    )
    for names in _GIVEN
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """The events that one call of a provider's told, verified. `at`: when it came."""

    account: str
    channel: str
    events: tuple[Event, ...]
    at: datetime


class Receipts(GroupCommit[Call, None]):
    """One per application: `current_app.extensions["receipts"]`."""

    def __init__(self) -> None:
        super().__init__(take, weigh=lambda call: len(call.events), most=MOST_AT_ONCE)


def submit(call: Call) -> None:
    """Stores the events, together with those that come at the same time. Raises what made the batch fail (the database
    being away); the call may be repeated then.
    """
    group: Receipts = current_app.extensions.setdefault("receipts", Receipts())
    for start in range(0, len(call.events), MOST_AT_ONCE):
        group.submit(Call(call.account, call.channel, call.events[start : start + MOST_AT_ONCE], call.at))


def take(calls: Sequence[Call]) -> list[Exception | None]:
    """Each call's answer: None, or what it alone failed with."""
    try:
        _take(calls)
    except UNAVAILABLE:
        raise
    except Exception:
        if len(calls) == 1:
            raise
        return [_take_alone(call) for call in calls]  # one bad event must not keep the others from being heard
    return [None for _ in calls]


def _take_alone(call: Call) -> Exception | None:
    try:
        _take([call])
    except Exception as error:
        return error
    return None


@retried
def _take(calls: Sequence[Call]) -> None:
    received_at = clock_now()
    words = {(word.provider, word.event_id): word for call in calls for word in _words(call)}
    if not words:
        return
    with transaction() as session:
        found = _match(words.values())
        rows = [
            {**_columns(words[key]), **_outcome(words[key], found, received_at, received_at)} for key in sorted(words)
        ]
        new = [words[row.provider, row.event_id] for row in session.execute(_store(db.engine.dialect.name), rows)]
        drawn = _apply(new, found)
    _tell_queues(drawn)


@functools.cache
def _store(_dialect: str) -> Any:
    return insert(_receipts).on_conflict_do_nothing().returning(_receipts.c.provider, _receipts.c.event_id)


def _words(call: Call) -> Iterable[Word]:
    """The events as they are stored: cut to what the columns take, and not from the future."""
    for event in call.events:
        at = event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC)
        yield Word(
            provider=call.account,
            channel=call.channel,
            event_id=_text(event.id, 255),
            kind=event.kind,
            at=min(at, call.at),
            provider_message_id=_text(event.provider_message_id or "", 255) or None,
            reference=_reference(event.delivery_id),
            digest=_digest(call.channel, event.address) if event.kind in CONCERNS_ADDRESS else None,
            code=_text(event.code, 64) or None,
            by=event.by,
            detail=_detail(event.detail),
        )


def _text(value: str, longest: int) -> str:
    """As both databases take it."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:longest]


def _reference(shown: str | None) -> UUID | None:
    with suppress(Rejected):
        return parse("dlv", shown) if shown else None
    return None


def _digest(channel: str, address: str | None) -> bytes | None:
    """None for what is no address of the channel."""
    lender = CHANNELS[channel].borrows_from or channel
    with suppress(ValueError):
        return digest_of(lender, serving.normalise(lender, address)) if address else None
    return None


def _detail(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What is left once addresses and secrets are masked; nothing of what is too long."""
    clean = {_text(name, 64): _storable(value) for name, value in masked(dict(detail)).items()}
    return clean if len(json.dumps(clean)) <= _LONGEST_DETAIL else {}


def _storable(value: Any) -> Any:
    """As JSON that both databases take: PostgreSQL knows neither NUL nor halves of characters, and no infinity."""
    match value:
        case str():
            return _text(value, _LONGEST_DETAIL)
        case Mapping():
            return {_text(str(name), 64): _storable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_storable(inner) for inner in value]
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
    return _text(str(value), _LONGEST_DETAIL)


def _columns(word: Word) -> dict[str, Any]:
    names = ("provider", "channel", "event_id", "provider_message_id", "reference", "digest", "code", "by", "at")
    return {**{name: getattr(word, name) for name in names}, "status": word.kind, "detail": dict(word.detail)}


# ---- matching -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """The deliveries that events are about, locked, and those that were tried through which accounts."""

    by_id: dict[UUID, "sa.Row[Any]"]
    by_message: dict[tuple[str, str], "sa.Row[Any]"]
    accounts: dict[UUID, set[str]]
    lapsed: set[UUID]

    def delivery_of(self, word: Word) -> "sa.Row[Any] | None":
        """By the id that the provider says back; else by what it called the message."""
        mine = self.by_id.get(word.reference) if word.reference else None
        if mine is None and word.provider_message_id:
            mine = self.by_message.get((word.provider, word.provider_message_id))
        return mine

    def is_about(self, word: Word, delivery: "sa.Row[Any]") -> bool:
        """Whether the delivery was tried through the account that speaks. Nobody knows through which one a worker that
        died was sending.
        """
        return (
            delivery.provider == word.provider
            or word.provider in self.accounts.get(delivery.id, ())
            or (delivery.id in self.lapsed and delivery.channel == word.channel)
        )


def _match(words: Collection[Word]) -> _Found:
    """Two statements, the second only where an account has to be looked up among the attempts. All lock deliveries in
    the order of their ids.
    """
    ids = {word.reference for word in words if word.reference}
    messages = {word.provider_message_id for word in words if word.provider_message_id}
    given: dict[str, list[Any]] = {
        name: list(values) for name, values in (("ids", ids), ("messages", messages)) if values
    }
    rows = db.session.execute(_LOCKED[tuple(given)], given).all() if given else []
    by_message = {(row.provider, row.provider_message_id): row for row in rows if row.provider_message_id}
    found = _Found({row.id: row for row in rows}, by_message, {}, set())
    unsure = {
        row.id for word in words if (row := found.delivery_of(word)) is not None and row.provider != word.provider
    }
    if unsure:
        tried = sa.select(Attempt.delivery_id, Attempt.provider, Attempt.code).where(Attempt.delivery_id.in_(unsure))
        for attempt in db.session.execute(tried):
            found.accounts.setdefault(attempt.delivery_id, set()).add(attempt.provider)
            if attempt.code == LEASE_LAPSED:
                found.lapsed.add(attempt.delivery_id)
    return found


def _outcome(word: Word, found: _Found, received_at: datetime, now: datetime) -> dict[str, Any]:
    """The columns that say what became of an event. What is about a delivery that was never tried through its account
    is about nothing of ours, and settled.
    """
    delivery = found.delivery_of(word)
    is_settled = word.kind in BY_ADDRESS and word.digest is not None
    if delivery is not None and delivery.status != lifecycle.SENDING:
        is_settled = True
    is_ours = delivery is not None and found.is_about(word, delivery)
    waited = now - received_at
    return {
        "delivery_id": delivery.id if delivery is not None and is_ours and is_settled else None,
        "received_at": received_at,
        "applied_at": now if is_settled else None,
        "wake_at": None if is_settled or waited > _LOOKED_FOR else now + max(_FIRST_LOOK, waited),
    }


def _apply(words: Sequence[Word], found: _Found) -> Drawn:
    matched = [
        (word, row)
        for word in words
        if (row := found.delivery_of(word)) is not None
        and row.status != lifecycle.SENDING
        and found.is_about(word, row)
    ]
    obey_stops(words)
    return draw(matched) if matched else Drawn()


def _tell_queues(drawn: Drawn) -> None:
    """After the commit. Without Redis, the scheduler rings later and removes the ghosts."""
    ring(drawn.started)
    if not drawn.dead and not drawn.revived:
        return
    try:
        restore_failed(drawn.dead)
        forget_failed(drawn.revived, with_jobs=True)
    except redis.RedisError as error:
        log.warning("receipts.queues_not_told", error=type(error).__name__)


def foretell(finished: Iterable[Finished]) -> None:
    """Keeps what the sandbox is going to say of these sends until its time comes. Inside the caller's transaction; one
    statement, none for sends by anybody else.
    """
    at = clock_now()
    rows = [
        {
            "provider": one.latest.adapter.name,
            "channel": one.task.delivery.channel,
            "event_id": f"{show('dlv', one.task.delivery.id)} {one.latest.number} {number}",
            "provider_message_id": receipt.provider_message_id,
            "reference": one.task.delivery.id,
            "status": event.kind,
            "by": event.by,
            "detail": {},
            "at": at + timedelta(seconds=event.at_s),
            "received_at": at,
            "wake_at": at + timedelta(seconds=event.after_s),
        }
        for one in finished
        if (receipt := one.latest.receipt) is not None
        for number, event in enumerate(receipt.foretold)
    ]
    if rows:
        db.session.execute(sa.insert(_receipts), rows)


# ---- kept ones ------------------------------------------------------------------------------------------------------


def told_already(deliveries: Collection[UUID], messages: Collection[str]) -> list[int]:
    """Kept events about these, which have just been sent: their ids. Inside the caller's transaction; one statement."""
    given = {name: list(values) for name, values in (("ids", deliveries), ("messages", messages)) if values}
    return list(db.session.scalars(_KEPT_ABOUT[tuple(given)], given)) if given else []


def apply_now(ids: Collection[int]) -> None:
    """Kept events whose deliveries have been recorded. Whatever goes wrong, the scheduler looks at them again."""
    try:
        _apply_kept(_receipts.c.id.in_(ids))
    except Exception as error:
        log.warning("receipts.not_applied", error=type(error).__name__, exc_info=not isinstance(error, UNAVAILABLE))


def apply_due() -> int:
    """Looks again at kept events whose time has come: for longer and longer, since most of those left are nobody's. →
    how many. Called by the scheduler, in any number of processes.
    """
    due = _receipts.c.wake_at <= clock_now()
    try:
        return _apply_kept(due)
    except UNAVAILABLE:
        raise
    except Exception:
        ids = db.session.scalars(
            sa.select(_receipts.c.id).where(due, _receipts.c.applied_at.is_(None)).limit(BATCH)
        ).all()
        return sum(_apply_alone(id) for id in ids)


def _apply_alone(id: int) -> int:
    """One that cannot be applied must not keep the others back. It is tried again, ever less often."""
    try:
        return _apply_kept(_receipts.c.id == id)
    except UNAVAILABLE:
        raise
    except Exception:
        log.exception("receipt.not_applied", receipt=id)
        now = clock_now()
        with transaction() as session:
            received_at = session.scalar(sa.select(_receipts.c.received_at).where(_receipts.c.id == id))
            waited = now - (received_at or now)
            later = None if waited > _LOOKED_FOR else now + max(_FIRST_LOOK, waited)
            session.execute(sa.update(_receipts).where(_receipts.c.id == id).values(wake_at=later))
        return 0


@retried
def _apply_kept(chosen: "sa.ColumnElement[bool]") -> int:
    now = clock_now()
    with transaction() as session:
        kept = session.execute(
            sa.select(_receipts)
            .where(chosen, _receipts.c.applied_at.is_(None))
            .order_by(_receipts.c.wake_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if not kept:
            return 0
        words = [_word(row) for row in kept]
        found = _match(words)
        outcomes = [_outcome(word, found, row.received_at, now) for word, row in zip(words, kept, strict=True)]
        names = ("delivery_id", "applied_at", "wake_at")
        session.connection().execute(
            sa.update(_receipts)
            .where(_receipts.c.id == sa.bindparam("key"))
            .values({name: sa.bindparam(f"new_{name}", type_=_receipts.c[name].type) for name in names}),
            [
                {"key": row.id, **{f"new_{name}": outcome[name] for name in names}}
                for row, outcome in zip(kept, outcomes, strict=True)
            ],
        )
        settled = [word for word, outcome in zip(words, outcomes, strict=True) if outcome["applied_at"]]
        drawn = _apply(settled, found)
    _tell_queues(drawn)
    return len(kept)


def _word(row: "sa.Row[Any]") -> Word:
    names = ("provider", "channel", "event_id", "at", "provider_message_id", "reference", "digest", "code", "by")
    return Word(kind=row.status, detail=row.detail, **{name: getattr(row, name) for name in names})


def prune() -> int:
    """→ how many are gone that were about nothing of ours; the others go with their deliveries."""
    return database.prune(_receipts, _receipts.c.delivery_id.is_(None), _receipts.c.received_at < clock_now() - KEPT)
