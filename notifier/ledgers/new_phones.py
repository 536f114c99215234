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
from notifier.ground.encryption import vault
from notifier.ground.extensions import redis_store
from notifier.signals.queueing import unchecked

POLICY = "new_phones"
_PREFIX = "notifier:new-phones:"
_BLOCK = 4  # digits at the end of a number that the numbers of a block differ in
_MOST_SETS = 10_000  # that a process counts by itself
# In one step: a number that is refused is in no set meanwhile, or the same number beside it would pass as a repeat.
# KEYS: the set of each number. ARGV: how many a set may have; how long it is kept (s); the numbers.
_ADD = """
local found = {}
for i, key in ipairs(KEYS) do
  local member = ARGV[i + 2]
  found[i] = redis.call('SISMEMBER', key, member)
  if found[i] == 0 and redis.call('SCARD', key) < tonumber(ARGV[1]) then
    found[i] = redis.call('SADD', key, member)
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return found
"""


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
    members = [vault.newest(phone.digest)[-8:] for phone in phones]  # the end: a key's number stands before
    may_go = _count(keys, members, limit)
    return {index for index, one in enumerate(may_go) if not one}


def _count(keys: Sequence[str], members: Sequence[bytes], limit: limits.RateLimitItem) -> list[bool]:
    """→ for each whether it is in its set now: it was, or there was room."""
    if not redis_store.is_away():
        with contextlib.suppress(redis.RedisError):
            return list(
                map(bool, redis_store.client.eval(_ADD, len(keys), *keys, limit.amount, limit.get_expiry(), *members))
            )
    unchecked(POLICY)
    own = _own_sets()
    if len(own) > _MOST_SETS:
        own.clear()
    found = []
    for key, member in zip(keys, members, strict=True):
        known = own.setdefault(key, set())
        if len(known) < limit.amount:
            known.add(member)
        found.append(member in known)
    return found


def _own_sets() -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = current_app.extensions.setdefault("new_phones", {})
    return found
