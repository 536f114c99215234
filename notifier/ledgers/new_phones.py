"""The guard against SMS pumping: how many first-time phone numbers of one block of 10,000 a producer may reach
(NEW_PHONES_LIMIT).

Who is paid for traffic to numbers has many of them called, once each and one after the other, through somebody's
sign-up form; limits for each number do not see that. A number is new for a day after it was stored, and whenever it
came with a notification alone. Counted in Redis, in sets of short keyed digests; while Redis is away each process
counts for itself, so that the gate stands, if wider.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import limits
import redis
from flask import current_app

from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import redis_store
from notifier.signals.queueing import unchecked

POLICY = "new_phones"
_PREFIX = "notifier:new-phones:"
_BLOCK = 4  # digits at the end of a number that the numbers of a block differ in
_MOST_SETS = 10_000  # that a process counts by itself


@dataclass(frozen=True, slots=True)
class NewPhone:
    producer_id: UUID
    number: str  # E.164
    digest: bytes

    @property
    def block(self) -> str:
        """`+491511234` of +4915112345678."""
        return self.number[:-_BLOCK]


def over_limit(phones: Sequence[NewPhone]) -> set[int]:
    """Counts them, in order; → the indices of those that are too many. Outside of any transaction."""
    if not phones:
        return set()
    limit = limits.parse(current_settings().new_phones_limit)
    window = int(now().timestamp() // limit.get_expiry())
    keys = [f"{_PREFIX}{phone.producer_id.hex}:{phone.block}:{window}" for phone in phones]
    members = [phone.digest[:8] for phone in phones]
    counts = _count(keys, members, limit.get_expiry())
    over = {index for index, (is_new, count) in enumerate(counts) if is_new and count > limit.amount}
    _take_out([(keys[index], members[index]) for index in over])
    return over


def _count(keys: Sequence[str], members: Sequence[bytes], expiry_s: int) -> list[tuple[bool, int]]:
    """→ for each whether it was not in its set, and how many the set has with it."""
    if not redis_store.is_away():
        with contextlib.suppress(redis.RedisError), redis_store.client.pipeline(transaction=False) as pipe:
            for key, member in zip(keys, members, strict=True):
                pipe.sadd(key, member)
                pipe.scard(key)
                pipe.expire(key, expiry_s)
            answers = pipe.execute()
            return [(bool(new), count) for new, count in zip(answers[::3], answers[1::3], strict=True)]
    unchecked(POLICY)
    own = _own_sets()
    if len(own) > _MOST_SETS:
        own.clear()
    found = []
    for key, member in zip(keys, members, strict=True):
        known = own.setdefault(key, set())
        is_new = member not in known
        known.add(member)
        found.append((is_new, len(known)))
    return found


def _take_out(refused: Sequence[tuple[str, bytes]]) -> None:
    """They were not reached: a repeat is one too many again."""
    for key, member in refused:
        _own_sets().get(key, set()).discard(member)
    if refused and not redis_store.is_away():
        with contextlib.suppress(redis.RedisError), redis_store.client.pipeline(transaction=False) as pipe:
            for key, member in refused:
                pipe.srem(key, member)
            pipe.execute()


def _own_sets() -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = current_app.extensions.setdefault("new_phones", {})
    return found
