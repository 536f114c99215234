"""Limits against flooding: how often one person, or one address, may be sent one urgent or mandatory type
(RECIPIENT_LIMIT), and how often one phone may get transactional messages (PHONE_LIMIT).

These types ignore preferences, quiet hours and caps, so only these limits protect a phone from a leaked key or a
hammered sign-in form, even if a thousand people are created with its number. Counted in Redis in one round trip per
batch each: people before the transaction, addresses (by their keyed digests) once they are known. While Redis is down
everything passes, and is counted as unchecked. Simulated recipients (`+1555010000<digit>`, `@sandbox.test`) are exempt.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import limits
import redis
import sqlalchemy as sa
from flask import current_app

from notifier.channels import CHANNELS
from notifier.channels.addresses import PRIMARY, digest_of
from notifier.core.limit_policies import default_of
from notifier.ground import metrics
from notifier.ground.config import current_settings
from notifier.ground.database import undone_by
from notifier.ground.encryption import vault
from notifier.ground.extensions import db, redis_store
from notifier.ledgers.caps import Planned
from notifier.models import EventType
from notifier.signals.queueing import unchecked

_REFRESH_S = 5.0
_PREFIX = "notifier:flood:"
_BY_NUMBER = "phone:"
_SIMULATED_MAIL, _SIMULATED_PHONE = "@sandbox.test", "+1555010000"
_BY_PHONE = {name for name, channel in CHANNELS.items() if PRIMARY["phone"] in (name, channel.borrows_from)}
# KEYS: what is counted. ARGV: of each, how often, and how long its window is (s). A count without an end, however it
# came about, would refuse somebody for ever.
_COUNT = """
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('INCRBY', key, ARGV[2 * i - 1])
  if redis.call('TTL', key) < 0 then
    redis.call('EXPIRE', key, ARGV[2 * i])
  end
end
return counts
"""
# The same of what was not used after all, unless its window has ended meanwhile. ARGV: how often each.
_GIVE_BACK = """
for i, key in ipairs(KEYS) do
  local count = redis.call('GET', key)
  if count then
    redis.call('DECRBY', key, math.min(count, ARGV[i]))
  end
end
"""

Trigger = tuple[str, str]  # user id, type


@dataclass(slots=True)
class _LimitedTypes:
    at: float = float("-inf")
    keys: frozenset[str] = frozenset()


def over_limit(triggers: Sequence[Trigger]) -> Collection[Trigger]:
    """Counts triggers, and returns those whose person has had enough of that type for now. Outside of any
    transaction.
    """
    if not triggers or not (counted := _limited(triggers, _limited_types())):
        return ()
    limit = limits.parse(current_settings().recipient_limit)
    keys = {_key_of(trigger): trigger for trigger in counted}
    counts = _try_to_count(dict.fromkeys(keys, limit), [counted[trigger] for trigger in keys.values()])
    found = {trigger for (key, trigger), count in zip(keys.items(), counts, strict=False) if count > limit.amount}
    metrics.limited.labels("recipient").inc(len(found))
    return found


def give_back(triggers: Sequence[Trigger]) -> None:
    """Of what was counted and is not stored: it was refused, or said once more with its idempotency key. Asks nothing
    of the database, which may have gone since, with the rest of the batch committed.
    """
    if counted := _limited(triggers, _memory().keys):
        _give_back({_key_of(trigger): times for trigger, times in counted.items()})


def _limited(triggers: Sequence[Trigger], types: Collection[str]) -> Counter[Trigger]:
    return Counter(trigger for trigger in triggers if trigger[1] in types)


def _key_of(trigger: Trigger) -> str:
    user_id, type_ = trigger
    return f"{type_}:{user_id}"


def flooded(planned: Sequence[Planned], *, is_rehearsal: bool) -> dict[int, frozenset[tuple[str, bytes]]]:
    """Counts what is planned to go out, in order. → index → channels and addresses (digests) that have had enough.
    Inside the caller's transaction.

    A rehearsal is not limited, and neither is a test key, which reaches nobody.
    """
    if is_rehearsal:
        return {}
    asked = list(_asked(planned))
    times = Counter(key for _, _, key, _ in asked)
    parsed = {key: limit for _, _, key, limit in asked}
    counts = _try_to_count(parsed, [times[key] for key in parsed])
    if not counts:
        return {}
    undone_by(partial(_give_back, {key: times[key] for key in parsed}))
    left = {
        key: limit.amount - (count - times[key]) for (key, limit), count in zip(parsed.items(), counts, strict=True)
    }
    over: dict[int, set[tuple[str, bytes]]] = {}
    for index, place, key, _ in asked:
        if left[key] <= 0:
            over.setdefault(index, set()).add(place)
            metrics.limited.labels("phone" if key.startswith(_BY_NUMBER) else "recipient").inc()
        left[key] -= 1
    return {index: frozenset(places) for index, places in over.items()}


def _asked(planned: Sequence[Planned]) -> Iterator[tuple[int, tuple[str, bytes], str, limits.RateLimitItem]]:
    """(index, channel and address, key, limit) of each limit that a planned delivery has to pass."""
    settings = current_settings()
    of_type, of_phone = limits.parse(settings.recipient_limit), limits.parse(settings.phone_limit)
    simulated: set[bytes] | None = None
    for index, one in enumerate(planned):
        type_ = one.facts.type
        is_pressing = (type_.mandatory or type_.priority == "urgent") and not type_.is_alert
        if one.is_test or not (is_pressing or type_.category == "transactional"):
            continue
        for route in one.plan.routes:
            address = route.address
            if address is None or not address.digest or address.masked.endswith(_SIMULATED_MAIL):
                continue
            simulated = simulated or {
                vault.newest(digest_of(PRIMARY["phone"], f"{_SIMULATED_PHONE}{digit}")) for digit in range(10)
            }
            digest = vault.newest(address.digest)
            if digest in simulated:
                continue
            place = (route.channel, address.digest)
            if is_pressing:
                yield index, place, f"{type_.key}:{route.channel}:{digest.hex()}", of_type
            if type_.category == "transactional" and route.channel in _BY_PHONE:
                yield index, place, f"{_BY_NUMBER}{digest.hex()}", of_phone


def used_up(uses: Mapping[str, str]) -> set[str]:
    """Counts one use of each limit by whom it counts (`{"code_person": "codes-to-person:alice"}`), and names those that
    had none left. Raises RedisError.
    """
    parsed = {uses[policy]: limits.parse(default_of(policy)) for policy in uses}
    counts = _count(parsed, [1] * len(parsed))
    amounts = [limit.amount for limit in parsed.values()]
    found = {policy for policy, count, most in zip(uses, counts, amounts, strict=True) if count > most}
    for policy in found:
        metrics.limited.labels(policy).inc()
    return found


def _try_to_count(keys: Mapping[str, limits.RateLimitItem], times: Sequence[int]) -> list[int]:
    """As `_count`; nothing while Redis is away."""
    if not keys:
        return []
    if not redis_store.is_away():
        with contextlib.suppress(redis.RedisError):
            return _count(keys, times)
    unchecked("recipient")
    return []


def _give_back(times: Mapping[str, int]) -> None:
    with contextlib.suppress(redis.RedisError):
        redis_store.client.eval(_GIVE_BACK, len(times), *(f"{_PREFIX}{key}" for key in times), *times.values())


def _count(keys: Mapping[str, limits.RateLimitItem], times: Sequence[int]) -> list[int]:
    """How often each has been counted in its present window, these times included. One round trip."""
    expiries = (limit.get_expiry() for limit in keys.values())
    arguments = (argument for pair in zip(times, expiries, strict=True) for argument in pair)
    return list(map(int, redis_store.client.eval(_COUNT, len(keys), *(f"{_PREFIX}{key}" for key in keys), *arguments)))


def _memory() -> "_LimitedTypes":
    known: _LimitedTypes = current_app.extensions.setdefault("limited_types", _LimitedTypes())
    return known


def _limited_types() -> frozenset[str]:
    known = _memory()
    if time.monotonic() >= known.at + _REFRESH_S:
        keys = db.session.scalars(
            sa.select(EventType.key).where(
                sa.or_(EventType.is_mandatory, EventType.priority == "urgent"), ~EventType.to_admins
            )
        )
        known.keys, known.at = frozenset(keys), time.monotonic()
        db.session.close()
    return known.keys
