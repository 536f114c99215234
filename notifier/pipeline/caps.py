"""Counts what people are sent, and tells which channels of a notification are over one of their caps (`core.limits`).

Called by `decide` for a whole batch: one Lua call, in which Redis judges one notification after the other, so that
two senders at the limit never both pass. Counted is what is planned to go out, whenever that is; of a transaction
that comes to nothing it is given back. A dry run looks, and leaves nothing behind.

After a FLUSHALL the counts are rebuilt from the database: while Redis remembers less than a day, it asks once for
what each person was sent before (one query a batch). While Redis is away everything passes, uncounted: a cap
protects against too much, and losing what somebody waits for is worse. A process killed between counting and
committing leaves one too many counted, for a day.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier.config import current_settings
from notifier.core import lifecycle
from notifier.core.limits import WINDOWS_S, Limit, limits_of
from notifier.core.plan import Facts, Plan
from notifier.core.preferences import EVERY_CHANNEL
from notifier.database import undone_by
from notifier.extensions import db, redis_store
from notifier.models import Delivery, EventType, Notification
from notifier.queueing import unchecked

SINCE = "notifier:caps:since"  # when Redis began to count: now after a FLUSHALL
_KEPT = timedelta(seconds=max(WINDOWS_S.values()))
_TRIES = 3  # Redis may be flushed between two questions

log = structlog.get_logger()

# A sorted set for each person and category: members `id channel channel…` by the time (ms) they were counted, and the
# member `` (at -1) where it is known that nothing is missing. KEYS: SINCE, then these sets.
# ARGV: does it only look; notifications [[set, id, [channel…], [[scope, window, maximum]…]]…]; what the database knows {set: [[time, member]…]}.
# → {unknown: [set…]}: the database is to be asked for them first; or {over: [{channel: number of the limit}…]}.
_COUNT = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = tonumber(ARGV[1])
local looking, asked, told = ARGV[2] == '1', cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local seen = {}  -- when looking: the sets as they would be

local since = redis.call('GET', KEYS[1])
if not since then
  since = now
  if not looking then redis.call('SET', KEYS[1], now) end
end
if now - since < kept then
  local unknown = {}
  for i = 2, #KEYS do
    local rows = told[tostring(i)]
    if redis.call('ZSCORE', KEYS[i], '') then
      rows = nil
    elseif not rows then
      table.insert(unknown, i)
    elseif looking then
      seen[i] = rows
    else
      for _, row in ipairs(rows) do redis.call('ZADD', KEYS[i], row[1], row[2]) end
      redis.call('ZADD', KEYS[i], -1, '')
      redis.call('PEXPIRE', KEYS[i], kept)
    end
  end
  if #unknown > 0 then return cjson.encode({unknown = unknown}) end
end

local function members(i, after)
  if not looking then return redis.call('ZRANGEBYSCORE', KEYS[i], '(' .. after, '+inf') end
  if not seen[i] then
    seen[i] = {}
    local flat = redis.call('ZRANGEBYSCORE', KEYS[i], 0, '+inf', 'WITHSCORES')
    for n = 1, #flat, 2 do table.insert(seen[i], {tonumber(flat[n + 1]), flat[n]}) end
  end
  local found = {}
  for _, row in ipairs(seen[i]) do
    if row[1] > tonumber(after) then table.insert(found, row[2]) end
  end
  return found
end

local function count(i, scope, window)
  local after = string.format('%.0f', now - window)
  if scope == '*' and not looking then return redis.call('ZCOUNT', KEYS[i], '(' .. after, '+inf') end
  local n = 0
  for _, member in ipairs(members(i, after)) do
    if scope == '*' or string.find(member .. ' ', ' ' .. scope .. ' ', 1, true) then n = n + 1 end
  end
  return n
end

local over = {}
for n, one in ipairs(asked) do
  local i, used, left = one[1], {}, {}
  for number, limit in ipairs(one[4]) do
    if not used[limit[1]] and count(i, limit[1], limit[2]) >= limit[3] then used[limit[1]] = number end
  end
  over[n] = {}
  for _, channel in ipairs(one[3]) do
    over[n][channel] = used['*'] or used[channel]
    if not over[n][channel] then table.insert(left, channel) end
  end
  local member = one[2] .. ' ' .. table.concat(left, ' ')
  if #left > 0 and looking then
    table.insert(seen[i], {now, member})
  elseif #left > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, now - kept)
    redis.call('ZADD', KEYS[i], now, member)
    redis.call('PEXPIRE', KEYS[i], kept)
  end
end
return cjson.encode({over = over})
"""


@dataclass(frozen=True, slots=True)
class Planned:
    """A notification and what is planned for it so far."""

    notification_id: UUID
    is_test: bool  # those of a test key are counted apart
    facts: Facts
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Question:
    index: int
    planned: Planned
    channels: tuple[str, ...]
    limits: tuple[Limit, ...]

    @property
    def set(self) -> tuple[bool, str, str]:
        return self.planned.is_test, self.planned.facts.type.category, self.planned.facts.user_id

    @property
    def as_json(self) -> list[Any]:
        return [self.planned.notification_id.hex, self.channels, [(limit.scope, limit.window_s * 1000, limit.maximum) for limit in self.limits]]


def count(planned: Sequence[Planned], now: datetime, *, is_rehearsal: bool) -> dict[int, Mapping[str, Limit]]:
    """Counts those that have a route, in order. → for each (by its index) that is over a cap, the channels concerned and the cap.

    Inside the caller's transaction; without anything that a cap concerns it asks nobody.
    """
    limited = ((index, one) for index, one in enumerate(planned) if one.facts.is_limited and one.plan.routes)
    questions = [question for index, one in limited if (question := _question(index, one)).limits]
    if not questions:
        return {}
    if redis_store.is_away():
        unchecked("cap")
        return {}
    try:
        answers = _ask(questions, now, is_rehearsal)
    except redis.RedisError as error:
        log.warning("caps.redis_away", error=type(error).__name__)
        unchecked("cap")
        return {}
    over = [{channel: question.limits[number - 1] for channel, number in answer.items()} for question, answer in zip(questions, answers, strict=True)]
    if not is_rehearsal:
        undone_by(partial(_give_back, [pair for pair in zip(questions, over, strict=True) if len(pair[1]) < len(pair[0].channels)]))
    return {question.index: channels for question, channels in zip(questions, over, strict=True) if channels}


def _question(index: int, one: Planned) -> _Question:
    channels = tuple(dict.fromkeys(route.channel for route in one.plan.routes))
    category = one.facts.type.category
    limits = limits_of(category, one.facts.preferences.caps.get(category, {}), current_settings().caps)
    return _Question(index, one, channels, tuple(limit for limit in limits if limit.scope == EVERY_CHANNEL or limit.scope in channels))


def _ask(questions: Sequence[_Question], now: datetime, is_rehearsal: bool) -> Sequence[Mapping[str, int]]:
    """One round trip, and two more when the database has to be asked first. Raises redis.RedisError."""
    sets = list(dict.fromkeys(question.set for question in questions))
    numbers = {set_: number for number, set_ in enumerate(sets, 2)}
    asked = json.dumps([[numbers[question.set], *question.as_json] for question in questions])
    told: dict[int, list[tuple[int, str]]] = {}
    for _ in range(_TRIES):
        keys = [SINCE, *map(_key, sets)]
        answer = json.loads(redis_store.client.eval(_COUNT, len(keys), *keys, int(_KEPT.total_seconds() * 1000), int(is_rehearsal), asked, json.dumps(told)))
        if "over" in answer:
            return list(answer["over"])
        told |= _told({sets[number - 2]: number for number in answer["unknown"]}, now)
    raise redis.RedisError("flushed again and again")


def _key(set_: tuple[bool, str, str]) -> str:
    is_test, category, user_id = set_
    return f"notifier:caps:{'test-' if is_test else ''}{category}:{user_id}"


def _member(notification_id: UUID, channels: Sequence[str]) -> str:
    return " ".join((notification_id.hex, *channels))


def _told(numbers: Mapping[tuple[bool, str, str], int], now: datetime) -> dict[int, list[tuple[int, str]]]:
    """What the database knows of the last day, as the script takes it: all that had a delivery which was not skipped."""
    oldest = now - _KEPT
    columns = (Notification.is_test, Notification.category, Notification.user_id, Notification.id, Notification.created_at, Delivery.channel)
    statement = (
        sa.select(*columns)
        .join(Delivery, Delivery.notification_id == Notification.id)
        .join(EventType, EventType.key == Notification.type)
        .where(
            Notification.user_id.in_({user_id for _, _, user_id in numbers}),
            Notification.id >= UUID(int=int(oldest.timestamp() * 1000) << 80),  # keys begin with the time: the index does it
            Notification.created_at > oldest,
            Notification.category.in_({category for _, category, _ in numbers}),
            Notification.priority != "urgent",
            ~sa.or_(EventType.is_mandatory, EventType.is_internal, EventType.to_admins),
            Delivery.status != lifecycle.SKIPPED,
        )
    )
    found: dict[tuple[int, UUID, datetime], dict[str, None]] = {}
    for row in db.session.execute(statement):
        number = numbers.get((row.is_test, row.category, row.user_id))
        if number is not None:
            found.setdefault((number, row.id, row.created_at), {})[row.channel] = None
    told: dict[int, list[tuple[int, str]]] = {number: [] for number in numbers.values()}
    for (number, notification_id, created_at), channels in found.items():
        told[number].append((int(created_at.timestamp() * 1000), _member(notification_id, tuple(channels))))
    return told


def _give_back(counted: Sequence[tuple[_Question, Mapping[str, Limit]]]) -> None:
    """After the transaction has come to nothing."""
    if not counted or redis_store.is_away():
        return
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for question, over in counted:
                left = [channel for channel in question.channels if channel not in over]
                pipe.zrem(_key(question.set), _member(question.planned.notification_id, left))
            pipe.execute()
    except redis.RedisError as error:
        log.warning("caps.not_given_back", error=type(error).__name__, notifications=len(counted))
