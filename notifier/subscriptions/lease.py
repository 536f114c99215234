"""Whose turn it is: one worker at a time has a subscription, and only the last turn may record anything."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import subscriptions as rules
from notifier.ground import lifeline
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.target_lists import Lists
from notifier.models import ApiKey, Producer, Subscription
from notifier.pipeline.delivery.lease import database_time
from notifier.queries import webhook_targets
from notifier.queries.events import Scope

# Longer than a batch can take: its last request begins within BATCH_S (`sending`), connects to three addresses, and is
# answered within the client's total. A dead worker's is freed at once (`upkeep.abandoned`).
LEASE = timedelta(seconds=60)
# Turns of subscriptions that fail or answer slowly, of all workers together: the others keep the rest of the lanes
SLOW_AT_ONCE = 16

_subscriptions: sa.Table = Subscription.__table__
_s = _subscriptions.c
IS_SLOW = sa.or_(_s.is_slow, _s.failing_since.is_not(None))


@dataclass(frozen=True, slots=True)
class Turn:
    """A subscription as it was when this turn, or its last batch, began. `secrets`: all that sign now."""

    id: UUID
    number: int
    url: str
    secrets: tuple[str, ...]
    kinds: frozenset[str]
    types: tuple[str, ...] | None
    scope: Scope
    position: int
    replay_position: int | None
    replay_end: int | None
    replay_since: datetime | None
    replay_until: datetime | None
    ping: str | None
    failing_since: datetime | None
    lists: Lists = ()  # of webhook targets that hold for its URL

    def hears(self, event: "sa.Row[Any]") -> bool:
        """What no known producer caused is told to those who hear of people's wishes; the product's own messages are
        not among these.
        """
        return event.producer_id is not None or self.scope.producer_id is None or rules.is_of_people(event.kind)


def claim(subscription_id: UUID) -> Turn | None:
    """None: it is somebody else's, disabled, gone, or one of too many slow ones."""
    now = clock_now()
    with transaction() as session:
        if _slow_running(subscription_id) >= SLOW_AT_ONCE:
            return None
        row = session.execute(
            sa.update(_subscriptions)
            .where(
                _s.id == subscription_id,
                _s.disabled_at.is_(None),
                is_free(),
                _s.producer_id.in_(sa.select(Producer.id).where(Producer.disabled_at.is_(None))),
            )
            .values(leased_until=database_time(LEASE), holder=lifeline.number(), turn=_s.turn + 1)
            .returning(*_subscriptions.columns)
        ).one_or_none()
        return None if row is None else turn_of(row, now)


def turn_of(row: "sa.Row[Any]", now: datetime) -> Turn:
    """One query where it hears more than its producer's own."""
    is_wide = (row.sees_people or row.sees_all) and _key_holds(row.id, now)
    return Turn(
        row.id,
        row.turn,
        row.url,
        signing(row, now),
        rules.kinds_of(row.kinds),
        None if row.types is None else tuple(row.types),
        Scope(
            None if row.sees_all and is_wide else row.producer_id,
            of_people=row.sees_people and is_wide,
            tests_only=row.is_test,
        ),
        row.position,
        row.replay_position,
        row.replay_end,
        row.replay_since,
        row.replay_until,
        row.ping,
        row.failing_since,
        webhook_targets.lists_of(row.producer_id),
    )


def signing(row: "sa.Row[Any] | Subscription", now: datetime) -> tuple[str, ...]:
    """The secrets that sign now, the present one first."""
    if row.previous_secret is None or row.previous_until is None or now >= row.previous_until:
        return (row.secret,)
    return (row.secret, *row.previous_secret.split())


def release(turn: Turn, wake_at: datetime) -> None:
    with transaction() as session:
        session.execute(
            sa.update(_subscriptions)
            .where(_s.id == turn.id, _s.turn == turn.number)
            .values(leased_until=None, holder=None, wake_at=wake_at)
        )


def free_held_by(dead: Collection[int]) -> int:
    """Those of workers that are known to have died; → how many."""
    with transaction() as session:
        freed = session.execute(
            sa.update(_subscriptions)
            .where(_s.holder.in_(dead), _s.leased_until.is_not(None))
            .values(leased_until=None, holder=None, wake_at=clock_now())
            .returning(_s.id)
        )
        return len(freed.all())


def holders() -> set[int]:
    """The workers that have any now."""
    return set(db.session.scalars(sa.select(_s.holder).where(_s.holder.is_not(None)).distinct()))


def is_free() -> "sa.ColumnElement[bool]":
    return sa.or_(_s.leased_until.is_(None), _s.leased_until <= database_time())


def slow_running() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(_subscriptions).where(IS_SLOW, ~is_free())) or 0


def _slow_running(subscription_id: UUID) -> int:
    """0 for one that is not slow itself."""
    is_slow = db.session.scalar(sa.select(IS_SLOW).where(_s.id == subscription_id))
    return slow_running() if is_slow else 0


def key_holds(now: datetime) -> "sa.ColumnElement[bool]":
    """Whether the key that a subscription's wider rights end with is still accepted."""
    is_current = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return sa.exists().where(ApiKey.id == _s.key_id, ApiKey.revoked_at.is_(None), is_current)


def _key_holds(subscription_id: UUID, now: datetime) -> bool:
    return bool(db.session.scalar(sa.select(key_holds(now)).where(_s.id == subscription_id)))
