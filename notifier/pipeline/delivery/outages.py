"""Deliveries in an outage stay in the database, and are released a part at a time when it is over.

`delivery.admit`, `delivery.claim` and `upkeep.due` hold deliveries that no account of their channel can take, or whose
channel or broadcast is paused; the scheduler calls `Outages.let_out`. `held_for` names what a delivery waits for. It is
not rung, however long that takes: an outage costs one look per scope, and one delivery per probe. The breakers are
asked every time, so nothing is lost if Redis loses its data, or a scheduler dies half-way.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier.channels import serving
from notifier.channels.contract import RECEIVER_MARK
from notifier.core.broadcasts import PAUSED
from notifier.core.submission import PRIORITIES
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery
from notifier.pipeline.planning.halted import halted
from notifier.providers import accounts as providers
from notifier.providers import health
from notifier.providers.pausing import paused
from notifier.queries.waiting import BETWEEN_SCOPES, IS_HELD, held_for

# Then a held delivery is asked about again by itself, whatever has become of its scope
LONGEST_HOLD = timedelta(hours=1)
_CHANNEL, _BROADCAST = "channel=", "broadcast="  # no account is called so
_PAGE, _MOST_PAGES = 50, 20  # of what anything is held for: so much at once, and in one call

BATCH = 1_000  # let out in one transaction

log = structlog.get_logger()

_deliveries: sa.Table = Delivery.__table__
_delivery = _deliveries.c


def of_scopes(scopes: Collection[str]) -> str:
    """The `held_for` of a delivery that may go on as soon as any of these scopes is healthy."""
    return BETWEEN_SCOPES.join(sorted(set(scopes)))


def of_channel(channel: str) -> str:
    """The same for a channel that is paused."""
    return _CHANNEL + channel


def of_broadcast(broadcast_id: UUID) -> str:
    """The same for a broadcast that is paused."""
    return _BROADCAST + broadcast_id.hex


def look_again_at(expires_at: datetime | None, now: datetime) -> datetime:
    """When the scheduler looks at a held delivery, unless it is released before."""
    return min(now + LONGEST_HOLD, expires_at or now + LONGEST_HOLD)


class Outages:
    """Remembers how far it has read, should there be very many dead hosts."""

    def __init__(self) -> None:
        self._after = ""

    def let_out(self) -> int:
        """Makes held deliveries due: all, a part at a time, where the outage is over; one as a probe where it may be. →
        how many.

        For each page of scopes a constant number of statements, and one round trip to Redis. Neither when nothing is
        held.
        """
        count = 0
        for _ in range(_MOST_PAGES):
            held = held_for(self._after, _PAGE)
            db.session.close()
            self._after = held[-1] if len(held) == _PAGE else ""
            count += _let_out(held)
            if not self._after:
                break
        return count


def _let_out(held: Collection[str]) -> int:
    if not held:
        return 0
    providers.refresh()
    try:
        counts = _may_go_on(held)
    except redis.RedisError:  # Redis is away: no doorbell could be rung
        return 0
    if not counts:
        return 0
    with transaction():
        count = _make_due(_first_of(counts), clock_now())
    if count:
        log.info("outages.released", deliveries=count, scopes=len(counts))
    return count


def _may_go_on(held: Collection[str]) -> dict[str, int]:
    """How many of each; those of which none may go on are left out."""
    wanted = {key: key.split(BETWEEN_SCOPES) for key in held if not key.startswith((_CHANNEL, _BROADCAST))}
    paces = {adapter.name: adapter.per_second for _, adapter in serving.registry().accounts()}
    left = health.let_out({scope: _pace(scope, paces) for scopes in wanted.values() for scope in scopes})
    counts = {}
    for key, scopes in wanted.items():
        counts[key] = sum(left[scope] for scope in scopes)
        left |= dict.fromkeys(scopes, 0)  # another that waits for one of these has its turn when this one is done
    channels_held = {key: key.removeprefix(_CHANNEL) for key in held if key.startswith(_CHANNEL)}
    stopped = paused() if channels_held else set()
    counts |= {key: BATCH for key, channel in channels_held.items() if channel not in stopped}
    broadcasts_held = {key: UUID(key.removeprefix(_BROADCAST)) for key in held if key.startswith(_BROADCAST)}
    status = halted(broadcasts_held.values())
    counts |= {key: BATCH for key, broadcast_id in broadcasts_held.items() if status.get(broadcast_id) != PAUSED}
    db.session.close()
    return {key: min(count, BATCH) for key, count in counts.items() if count}


def _pace(scope: str, paces: Mapping[str, float | None]) -> float | None:
    return None if RECEIVER_MARK in scope else paces.get(scope.partition(":")[0])


def _first_of(counts: Mapping[str, int]) -> list[UUID]:
    """The first of each scope, as many as given: the most urgent, then those held longest; at most BATCH.

    A failed probe is held anew, so that each delivery gets its turn to be one.
    """
    parts = []
    for key, count in counts.items():
        for rank, priority in enumerate(PRIORITIES):
            first = sa.select(
                _delivery.id, _delivery.held_for, _delivery.due_at, sa.literal_column(str(rank)).label("rank")
            )
            lane = (
                first.where(IS_HELD, _delivery.held_for == key, _delivery.priority == priority)
                .order_by(_delivery.due_at)
                .limit(count)
                .subquery()
            )
            parts.append(sa.select(lane))
    found = sa.union_all(*parts).subquery()
    left, chosen = dict(counts), list[UUID]()
    for row in db.session.execute(sa.select(found).order_by(found.c.rank, found.c.due_at)):
        if left[row.held_for] > 0 and len(chosen) < BATCH:
            left[row.held_for] -= 1
            chosen.append(row.id)
    return chosen


def _make_due(ids: Collection[UUID], now: datetime) -> int:
    """→ how many. Deliveries that another transaction moves at this moment are left to it."""
    still = sa.select(_delivery.id).where(_delivery.id.in_(ids), IS_HELD).with_for_update(skip_locked=True)
    let_out: sa.CursorResult[Any] = db.session.execute(
        sa.update(_deliveries).where(_delivery.id.in_(still)).values(held_for=None, wake_at=now)
    )  # type: ignore[assignment]
    return let_out.rowcount
