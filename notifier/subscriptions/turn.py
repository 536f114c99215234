"""A subscription's turn: what the job `notifier.jobs.tell` does. Nothing it meets fails the job, since the scheduler
rings again for whatever is left.
"""

import contextlib
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import redis
import structlog

from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.providers import health
from notifier.providers.health import Want
from notifier.subscriptions import lease, reading, sending
from notifier.subscriptions.lease import Turn
from notifier.subscriptions.reading import Batch
from notifier.subscriptions.record import record
from notifier.subscriptions.sending import Item, Posted

TURN_S = 20.0  # then others have their turn
RECORD_AGAIN_S = 1.0
_MOST_TRIES = 10  # to record what has been sent
_PAUSE = timedelta(minutes=1)  # after a bug
_LEAST_WAIT = timedelta(milliseconds=250)

log = structlog.get_logger()


def take(subscription_id: UUID) -> int:
    """Tells it whatever there is, for TURN_S at most; → how many requests were made."""
    turn, count = None, 0
    ends_at = time.monotonic() + TURN_S
    try:
        turn = lease.claim(subscription_id)
        while turn is not None:
            made, turn = _one_batch(turn, ends_at)
            count += made
    except (*UNAVAILABLE, redis.RedisError) as error:
        log.warning("subscription.turn_ended", subscription=show("sbn", subscription_id), error=type(error).__name__)
    except Exception:
        log.exception("subscription.turn_broke", subscription=show("sbn", subscription_id))
        with contextlib.suppress(*UNAVAILABLE):
            if turn is not None:
                lease.release(turn, clock_now() + _PAUSE)
    finally:
        db.session.remove()
    return count


def _one_batch(turn: Turn, ends_at: float) -> tuple[int, Turn | None]:
    """→ how many requests were made, and the turn as it goes on (None: it has ended)."""
    batch = reading.read(turn, clock_now())
    admitted, refused_until = _admitted(turn, batch.items)
    posted = sending.send(turn, admitted)
    health.report(sending.tallies(turn, posted))
    if any(one.error is None for one in posted):
        refused_until = None  # a probe has shown that it is well again
    wake_at = clock_now()
    if posted or batch.has_moved:
        is_through = batch.is_all and len(posted) == len(batch.items)
        ends = is_through or refused_until is not None or time.monotonic() > ends_at
    else:  # refused, or waiting for a try that is not due, or its events are not settled yet
        ends, wake_at = True, batch.wake_at or wake_at + _LEAST_WAIT
    return len(posted), _recorded(turn, batch, posted, ends=ends, wake_at=refused_until or wake_at)


def _admitted(turn: Turn, items: Sequence[Item]) -> tuple[Sequence[Item], datetime | None]:
    """→ those that may be posted now, and when to ask again for the rest. A ping always may: somebody waits for it."""
    pings = [item for item in items if item.event_id is None]
    others = items[len(pings) :]
    if not others:
        return items, None
    grants = health.admit([Want(scope, len(others)) for scope in sending.scopes(turn)])
    count = min(grant.count for grant in grants.values())
    if count == len(others):
        return items, None
    wait = timedelta(milliseconds=max(grant.wait_ms for grant in grants.values()))
    return [*pings, *others[:count]], clock_now() + max(wait, _LEAST_WAIT)


def _recorded(turn: Turn, batch: Batch, posted: Sequence[Posted], *, ends: bool, wake_at: datetime) -> Turn | None:
    """What has been sent must be recorded, or it is sent again: for a while it is tried again. Raises one of
    UNAVAILABLE.
    """
    for _ in range(_MOST_TRIES):
        try:
            return record(turn, batch, posted, ends=ends, wake_at=wake_at)
        except UNAVAILABLE as error:
            log.warning("subscription.not_recorded", subscription=show("sbn", turn.id), error=type(error).__name__)
            db.session.remove()
            time.sleep(RECORD_AGAIN_S)
    return record(turn, batch, posted, ends=ends, wake_at=wake_at)
