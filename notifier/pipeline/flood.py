"""Nobody is flooded with one-time codes: how often one person may be sent one urgent or mandatory type (RECIPIENT_LIMIT).

Such types pass preferences, quiet hours and caps, so this is what stands between a leaked key, or a login
form that is hammered, and somebody's phone. Counted in Redis before the transaction, in one round trip a
batch; while Redis is away everything passes.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import limits
import redis
import sqlalchemy as sa
from flask import current_app

from notifier.config import current_settings
from notifier.extensions import db, redis_store
from notifier.models import EventType

_REFRESH_S = 5.0

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
    keys = {f"{type_}:{user_id}": (user_id, type_) for user_id, type_ in counted}
    try:
        counts = _count(dict.fromkeys(keys, limit), [counted[trigger] for trigger in keys.values()])
    except redis.RedisError:
        return ()
    return {trigger for (key, trigger), count in zip(keys.items(), counts, strict=True) if count > limit.amount}


def used_up(allowances: Mapping[str, str]) -> set[str]:
    """Counts one use of each allowance (`{"code:alice": "10/hour"}`), and names those that had none left. Raises RedisError."""
    parsed = {key: limits.parse(text) for key, text in allowances.items()}
    counts = _count(parsed, [1] * len(parsed))
    return {key for (key, limit), count in zip(parsed.items(), counts, strict=True) if count > limit.amount}


def _count(keys: Mapping[str, limits.RateLimitItem], times: Sequence[int]) -> list[int]:
    """How often each has been counted in its present window, these times included. One round trip."""
    with redis_store.client.pipeline(transaction=False) as pipe:
        for (key, limit), more in zip(keys.items(), times, strict=True):
            pipe.set(f"notifier:flood:{key}", 0, nx=True, ex=limit.get_expiry())
            pipe.incrby(f"notifier:flood:{key}", more)
        return list(pipe.execute()[1::2])


def _limited_types() -> frozenset[str]:
    known: _LimitedTypes = current_app.extensions.setdefault("limited_types", _LimitedTypes())
    if time.monotonic() >= known.at + _REFRESH_S:
        keys = db.session.scalars(sa.select(EventType.key).where(sa.or_(EventType.is_mandatory, EventType.priority == "urgent"), ~EventType.to_admins))
        known.keys, known.at = frozenset(keys), time.monotonic()
        db.session.close()
    return known.keys
