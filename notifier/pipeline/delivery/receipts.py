"""What providers say of messages later: each event is stored once, and applied to its delivery (`delivery.matching`).

Called by the hooks' door. An event whose delivery is not known yet, or is being sent at this moment, is left to
`delivery.kept_receipts`, which applies it in the same way. `delivery.consequences` says what follows. Every path takes
a list and sends a constant number of statements.
"""

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
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
from notifier.core.people import storable
from notifier.ground import logs, tracing
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE, insert, retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.group_commit import GroupCommit
from notifier.ground.ids import parse
from notifier.models import Receipt
from notifier.pipeline.delivery import metering
from notifier.pipeline.delivery.consequences import CONCERNS_ADDRESS, Drawn, Word, draw, obey_stops
from notifier.pipeline.delivery.matching import Found, match, outcome
from notifier.pipeline.delivery.said import ids_of
from notifier.signals import publish
from notifier.signals.queueing import forget_failed, restore_failed, ring

MOST_AT_ONCE = 100  # events in a transaction: SQLite holds up the whole web process for some 20 ms meanwhile
_LONGEST_DETAIL = 2_000

_receipts: sa.Table = Receipt.__table__

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
        super().__init__("receipts", take, weigh=lambda call: len(call.events), most=MOST_AT_ONCE)


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
        found = match(words.values())
        words = {key: word for key, word in sorted(words.items()) if not found.is_refused(word)}
        rows = [{**_columns(word), **outcome(word, found, received_at, received_at)} for word in words.values()]
        stored = session.execute(_store(db.engine.dialect.name), rows) if rows else ()
        kept = [(words[row.provider, row.event_id], row.applied_at is not None) for row in stored]
        drawn = apply([word for word, is_applied in kept if is_applied], found)
    metering.count_receipts(word for word, _ in kept)
    tell_others(drawn, received_at)


@functools.cache
def _store(_dialect: str) -> Any:
    return (
        insert(_receipts)
        .on_conflict_do_nothing()
        .returning(_receipts.c.provider, _receipts.c.event_id, _receipts.c.applied_at)
    )


def _words(call: Call) -> Iterable[Word]:
    """The events as they are stored: cut to what the columns take, and not from the future."""
    for event in call.events:
        at = event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC)
        yield Word(
            provider=call.account,
            channel=call.channel,
            event_id=storable(event.id, 255),
            kind=event.kind,
            at=min(at, call.at),
            provider_message_id=storable(event.provider_message_id or "", 255) or None,
            reference=_reference(event.delivery_id),
            digest=_digest(call.channel, event.address) if event.kind in CONCERNS_ADDRESS else None,
            code=storable(event.code, 64) or None,
            by=event.by,
            detail=_detail(event.detail),
        )


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
    clean = {storable(name, 64): _storable(value) for name, value in masked(dict(detail)).items()}
    return clean if len(json.dumps(clean)) <= _LONGEST_DETAIL else {}


def _storable(value: Any) -> Any:
    """As JSON that both databases take: PostgreSQL knows neither NUL nor halves of characters, and no infinity."""
    match value:
        case str():
            return storable(value, _LONGEST_DETAIL)
        case Mapping():
            return {storable(str(name), 64): _storable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_storable(inner) for inner in value]
        case bool() | int() | None:
            return value
        case float() if math.isfinite(value):
            return value
    return storable(str(value), _LONGEST_DETAIL)


def _columns(word: Word) -> dict[str, Any]:
    names = ("provider", "channel", "event_id", "provider_message_id", "reference", "code", "by", "at")
    return {
        **{name: getattr(word, name) for name in names},
        "digest": None if word.digest is None else vault.newest(word.digest),
        "status": word.kind,
        "detail": dict(word.detail),
    }


def apply(words: Sequence[Word], found: Found) -> Drawn:
    matched = [
        (word, row)
        for word in words
        if (row := found.delivery_of(word)) is not None
        and row.status != lifecycle.SENDING
        and found.is_about(word, row)
    ]
    obey_stops(words)
    return draw(matched) if matched else Drawn()


def tell_others(drawn: Drawn, since: datetime) -> None:
    """After the commit. Without Redis, the scheduler rings later and removes the ghosts, and browsers ask again.

    `since`: when applying them began.
    """
    metering.count_told(drawn.counted, clock_now())
    with logs.at_once():
        for word, row in drawn.heard:
            _say(word, row, since)
    publish.publish_states(drawn.inbox_changes)
    ring(drawn.started)
    if not drawn.dead and not drawn.revived:
        return
    try:
        restore_failed(drawn.dead)
        forget_failed(drawn.revived, with_jobs=True)
    except redis.RedisError as error:
        log.warning("receipts.queues_not_told", error=type(error).__name__)


def _say(word: Word, row: "sa.Row[Any]", since: datetime) -> None:
    said = {
        **ids_of(row, row.notification_id, row.id),
        "channel": word.channel,
        "provider": word.provider,
        "told": word.kind,
    }
    log.info("receipt.applied", **said)
    tracing.follow("receipt", row.traceparent, since, **said).end()
