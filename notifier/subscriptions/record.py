"""Records what became of a batch, and how far the subscription has come: all in one transaction, so that whoever dies
before it repeats this batch and nothing else.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from notifier.core import subscriptions as rules
from notifier.core.errors import InvalidRecipient, RateLimited
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.models import Subscription, SubscriptionAttempt, SubscriptionRetry
from notifier.models.subscription import FAILING, GONE
from notifier.pipeline.delivery.lease import database_time
from notifier.subscriptions.lease import LEASE, Turn, turn_of
from notifier.subscriptions.reading import Batch
from notifier.subscriptions.sending import Posted

SENT, FAILED, MISSED = "sent", "failed", "missed"
SLOW_MS = 2_000
# Of failing: then the first success makes all that wait due at once, however far off their next try is
LONG = timedelta(minutes=10)
_NO_REPLAY = dict.fromkeys(("replay_position", "replay_end", "replay_since", "replay_until"))

_subscriptions: sa.Table = Subscription.__table__
_s = _subscriptions.c
_retries: sa.Table = SubscriptionRetry.__table__
_r = _retries.c

log = structlog.get_logger()


class _Lost(Exception):
    """The turn is somebody else's by now, or the subscription is gone."""


def record(turn: Turn, batch: Batch, posted: Sequence[Posted], *, ends: bool, wake_at: datetime) -> Turn | None:
    """→ the turn as it goes on; None where it has ended. `ends`: lets the subscription go, until `wake_at`."""
    now = clock_now()
    good = sum(one.error is None for one in posted)
    next_tries = {id(one): _next_try(one, now) for one in posted if one.error is not None}
    columns, left_out = _progress(turn, batch, posted)
    columns |= {"wake_at": wake_at, **_state(turn, posted, now, good)}
    try:
        with transaction() as session:
            lease = {"leased_until": None, "holder": None} if ends else {"leased_until": database_time(LEASE)}
            moved = (
                sa.update(_subscriptions)
                .where(_s.id == turn.id, _s.turn == turn.number)
                .values(**columns, **lease)
                .returning(*_subscriptions.columns)
            )
            row = session.execute(moved).one_or_none()
            if row is None:
                raise _Lost
            if good and turn.failing_since is not None and now - turn.failing_since >= LONG:
                session.execute(sa.update(_retries).where(_r.subscription_id == turn.id).values(due_at=now))
            is_disabled = row.disabled_at is not None
            if is_disabled and not ends:  # by these answers, or meanwhile by somebody
                free = sa.update(_subscriptions).where(_s.id == turn.id)
                session.execute(free.values(leased_until=None, holder=None))
            _settle(turn, batch, posted, next_tries, left_out, now, is_disabled=is_disabled)
            going_on = None if ends or is_disabled else turn_of(row, now)
    except _Lost:
        log.warning("subscription.turn_lost", subscription=show("sbn", turn.id), posted=len(posted))
        return None
    _log(turn, posted, good, row)
    return going_on


def _progress(turn: Turn, batch: Batch, posted: Sequence[Posted]) -> tuple[dict[str, Any], list[int]]:
    """→ the columns that say how far it has come, and the events that were passed over on the way."""
    keys = {one.item.event_id for one in posted if one.item.event_id is not None}
    # Read with the others that wait: its turn comes as theirs
    position, left_out = batch.live.passed(keys)
    columns: dict[str, Any] = {"position": position}
    if batch.replay is not None:
        replayed, passed_over = batch.replay.passed(keys)
        left_out += passed_over
        has_ended = batch.replay.is_all and replayed == batch.replay.reached
        columns |= _NO_REPLAY if has_ended else {"replay_position": replayed}
    if any(one.item.event_id is None for one in posted):
        columns["ping"] = None
    return columns, left_out


def _state(turn: Turn, posted: Sequence[Posted], now: datetime, good: int) -> dict[str, Any]:
    if not posted:
        return {}
    failing_since = None if good else turn.failing_since or now
    columns: dict[str, Any] = {
        "failing_since": failing_since,
        "is_slow": any(one.duration_ms > SLOW_MS for one in posted),
    }
    if any(isinstance(one.error, InvalidRecipient) for one in posted):
        columns |= {"disabled_at": now, "disabled_reason": GONE, "told_at": None}
    elif rules.has_failed_too_long(failing_since, now):
        columns |= {"disabled_at": now, "disabled_reason": FAILING, "told_at": None}
    return columns


def _next_try(one: Posted, now: datetime) -> datetime | None:
    """None: it is given up. A ping is sent once."""
    item, error = one.item, one.error
    if item.event_id is None:
        return None
    retry_after_s = error.retry_after if isinstance(error, RateLimited) else 0.0
    first_at = item.first_at or one.at
    return rules.next_try(item.tries + 1, first_at, now, spread=random.uniform(-1, 1), retry_after_s=retry_after_s)


def _settle(
    turn: Turn,
    batch: Batch,
    posted: Sequence[Posted],
    next_tries: Mapping[int, datetime | None],
    left_out: Sequence[int],
    now: datetime,
    *,
    is_disabled: bool,
) -> None:
    """A disabled one keeps what waits, for when it is switched on again; until then there is no next try to name."""
    attempts = [_attempt(turn, one, None if is_disabled else next_tries.get(id(one))) for one in posted]
    attempts += [_missed(turn, now, key, kind) for _, key, kind in batch.gone]
    attempts += [_missed(turn, now)] if batch.missed else []
    if attempts:
        db.session.execute(sa.insert(SubscriptionAttempt.__table__), attempts)
    waiting = {
        one.item.event_id: _retry(turn, one.item, tries=one.item.tries + 1, first_at=one.at, due_at=due_at)
        for one in posted
        if (due_at := next_tries.get(id(one))) is not None
    }
    items = {item.event_id: item for item in batch.items}
    waiting |= {key: _retry(turn, items[key], tries=items[key].tries, first_at=now, due_at=now) for key in left_out}
    may_wait = [one.item.event_id for one in posted if one.item.first_at is not None or batch.replay is not None]
    over = [key for key in may_wait if key is not None and key not in waiting]
    over += [key for key, *_ in batch.gone]
    if over:
        db.session.execute(sa.delete(_retries).where(_r.subscription_id == turn.id, _r.event_id.in_(over)))
    if waiting:
        added = insert(_retries)
        newer = {"tries": added.excluded.tries, "due_at": added.excluded.due_at}
        statement = added.on_conflict_do_update(index_elements=["subscription_id", "event_id"], set_=newer)
        db.session.execute(statement, list(waiting.values()))


def _retry(turn: Turn, item: Any, *, tries: int, first_at: datetime, due_at: datetime) -> dict[str, Any]:
    return {
        "subscription_id": turn.id,
        "event_id": item.event_id,
        "webhook_id": item.webhook_id,
        "kind": item.kind,
        "tries": tries,
        "first_at": item.first_at or first_at,
        "due_at": due_at,
    }


def _attempt(turn: Turn, one: Posted, next_at: datetime | None) -> dict[str, Any]:
    error = one.error
    return {
        "id": new_id(),
        "subscription_id": turn.id,
        "webhook_id": one.item.webhook_id,
        "kind": one.item.kind,
        "number": one.item.tries + 1,
        "at": one.at,
        "duration_ms": one.duration_ms,
        "outcome": SENT if error is None else FAILED,
        "code": (error.code or None) if error else None,
        "message": str(error)[:200] if error else None,
        "next_at": next_at,
    }


def _missed(turn: Turn, now: datetime, webhook_id: str | None = None, kind: str | None = None) -> dict[str, Any]:
    message = "deleted (RETENTION) before it was taken" if webhook_id else "older events were deleted before being sent"
    return {
        "id": new_id(),
        "subscription_id": turn.id,
        "webhook_id": webhook_id,
        "kind": kind,
        "number": None,
        "at": now,
        "duration_ms": None,
        "outcome": MISSED,
        "code": "events_deleted",
        "message": message,
        "next_at": None,
    }


def _log(turn: Turn, posted: Sequence[Posted], good: int, row: "sa.Row[Any]") -> None:
    shown = show("sbn", turn.id)
    if posted:
        log.info("subscription.told", subscription=shown, sent=good, failed=len(posted) - good)
    if row.disabled_reason in (GONE, FAILING):
        log.warning("subscription.disabled", subscription=shown, reason=row.disabled_reason)
