"""Nobody is flooded with one-time codes: how often one person may be sent one urgent or mandatory type (RECIPIENT_LIMIT).

Such types pass preferences, quiet hours and caps, so this is what stands between a leaked key, or a login
form that is hammered, and somebody's phone. Counted in Redis before the transaction, in one round trip a
batch; while Redis is away everything passes.
"""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import limits
import redis
import sqlalchemy as sa
import structlog
from flask import current_app

from notifier.config import current_settings
from notifier.extensions import db, redis_store
from notifier.models import EventType

_REFRESH_S = 5.0

log = structlog.get_logger()

Trigger = tuple[str, str]  # user id, type


@dataclass(slots=True)
class _LimitedTypes:
    at: float = float("-inf")
    keys: frozenset[str] = frozenset()


def over_limit(triggers: Sequence[Trigger]) -> Collection[Trigger]:
    """Counts them, and returns those whose person has had enough of that type for now. Outside of any transaction."""
    limited = _limited_types()
    counted = Counter(trigger for trigger in triggers if trigger[1] in limited)
    if not counted:
        return ()
    limit = limits.parse(current_settings().recipient_limit)
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for (user_id, type_), times in counted.items():
                key = f"notifier:flood:{type_}:{user_id}"
                pipe.set(key, 0, nx=True, ex=limit.get_expiry())
                pipe.incrby(key, times)
            counts = pipe.execute()[1::2]
    except redis.RedisError as error:
        log.warning("flood.redis_away", error=type(error).__name__)
        return ()
    return {trigger for trigger, count in zip(counted, counts, strict=True) if count > limit.amount}


def _limited_types() -> frozenset[str]:
    known: _LimitedTypes = current_app.extensions.setdefault("limited_types", _LimitedTypes())
    if time.monotonic() >= known.at + _REFRESH_S:
        keys = db.session.scalars(sa.select(EventType.key).where(sa.or_(EventType.is_mandatory, EventType.priority == "urgent"), ~EventType.to_admins))
        known.keys, known.at = frozenset(keys), time.monotonic()
        db.session.close()
    return known.keys
