"""Counts notifications for the caps, and says which channels of a notification are over one of their caps
(`core.limits`).

`planning.decide` calls it for a whole batch: one Lua call, in which Redis checks one notification after another, so two
senders at the limit never both pass. Each channel counts for the time it is due. It is over a cap if any window around
that time is full, including later deliveries. A dry run only reads.

`moves` calls `recount` for deliveries that end before they have gone out, and for those that are brought back; if a
transaction is rolled back, all its counts are given back. A delivery that waits again after it was counted (a retry,
quiet hours, an outage) keeps its first time.

After a FLUSHALL the counts are rebuilt from the database, one query per batch, until everything planned before is a
day old. (Deliveries that a mute has delayed by more than a day are missed.) While Redis is down everything passes
uncounted: a cap prevents too many messages, and losing one that somebody waits for is worse. If a process is killed
between counting and committing, or between committing and recounting, the counts are too high until a day after the
deliveries were due.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog

from notifier.core import lifecycle
from notifier.core.decisions import Plan
from notifier.core.facts import Facts
from notifier.core.limits import LIMITED, WINDOWS_S, Limit, limits_of
from notifier.core.preferences import EVERY_CHANNEL
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, once_committed, undone_by
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery, EventType, Notification
from notifier.signals.queueing import unchecked

ASKED_UNTIL = "notifier:caps:asked_until"  # until when (ms) the database may know of what a FLUSHALL took
_KEPT = timedelta(seconds=max(WINDOWS_S.values()))
_KEPT_MS = int(_KEPT.total_seconds() * 1000)
_TRIES = 3  # Redis may be flushed between two questions

log = structlog.get_logger()

# A sorted set for each person and category: a member `id channel` for each channel of a notification, by the time (ms)
# it is due, and the member `` (at -1) where it is known that nothing is missing. It is kept for a day after the last
# one.
_KEEP = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = tonumber(ARGV[1])

local function keep(key)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if last then redis.call('PEXPIREAT', key, math.max(tonumber(last), now) + kept) end
end
"""
# KEYS: ASKED_UNTIL, then the sets.
# ARGV: how long all is kept; does it only look; notifications
# [[set, id, [[channel, due]…], [[scope, window, maximum]…]]…]; what the database knows {set: [[time, member]…]}, and
# until when it is to be asked (0: not known yet).
# → {unknown: [set…], is_new: …}: the database is to be asked first; or {over: [{channel: number of the limit}…]}.
_COUNT = (
    _KEEP
    + """
local looking, asked, told = ARGV[2] == '1', cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local seen = {}  -- when looking: what would be in the sets besides

local function add(i, at, member)
  if looking then
    table.insert(seen[i], {at, member})
  else
    redis.call('ZADD', KEYS[i], at, member)
  end
end

local asked_until, is_new = tonumber(redis.call('GET', KEYS[1])), false
if not asked_until then
  asked_until, is_new = tonumber(ARGV[5]), ARGV[5] == '0'
  if not (is_new or looking) then redis.call('SET', KEYS[1], asked_until) end
end
local unknown = {}
for i = 2, #KEYS do
  seen[i] = {}
  if (is_new or now < asked_until) and not redis.call('ZSCORE', KEYS[i], '') then
    local rows = told[tostring(i)]
    if not rows then
      table.insert(unknown, i)
    else
      for _, row in ipairs(rows) do add(i, row[1], row[2]) end
      add(i, -1, '')
      if not looking then keep(KEYS[i]) end
    end
  end
end
if #unknown > 0 then return cjson.encode({unknown = unknown, is_new = is_new}) end

-- [[time, id]…] of what is counted by a channel (`*`: by whichever) less than a window before or after a time,
-- in order.
local function near(i, scope, at, window)
  local from, to = at - window, at + window
  local range = {string.format('(%.0f', from), string.format('(%.0f', to)}
  local flat = redis.call('ZRANGEBYSCORE', KEYS[i], range[1], range[2], 'WITHSCORES')
  local rows = {}
  local function take(time, member)
    local id, channel = string.match(member, '^(%S+) (.*)$')
    if id and (scope == '*' or scope == channel) then table.insert(rows, {time, id}) end
  end
  for n = 1, #flat, 2 do take(tonumber(flat[n + 1]), flat[n]) end
  for _, row in ipairs(seen[i]) do
    if row[1] > from and row[1] < to then take(row[1], row[2]) end
  end
  table.sort(rows, function(one, other) return one[1] < other[1] end)
  return rows
end

-- The most notifications that any window holds which contains this time.
local function fullest(i, scope, at, window)
  local rows, first, times, n, most = near(i, scope, at, window), 1, {}, 0, 0
  for _, row in ipairs(rows) do
    while rows[first][1] <= row[1] - window do
      local left = rows[first][2]
      times[left] = times[left] - 1
      if times[left] == 0 then n = n - 1 end
      first = first + 1
    end
    times[row[2]] = (times[row[2]] or 0) + 1
    if times[row[2]] == 1 then n = n + 1 end
    most = math.max(most, n)
  end
  return most
end

local over = {}
for n, one in ipairs(asked) do
  local i, id, left = one[1], one[2], {}
  local size = redis.call('ZCARD', KEYS[i]) + #seen[i]
  over[n] = {}
  for _, due in ipairs(one[3]) do
    local channel, at = due[1], math.max(due[2], now)
    for number, limit in ipairs(one[4]) do
      local scope, window, maximum = limit[1], limit[2], limit[3]
      local concerns = not over[n][channel] and (scope == '*' or scope == channel)
      if concerns and size >= maximum and fullest(i, scope, at, window) >= maximum then over[n][channel] = number end
    end
    if not over[n][channel] then table.insert(left, {at, id .. ' ' .. channel}) end
  end
  for _, row in ipairs(left) do add(i, row[1], row[2]) end
  if #left > 0 and not looking then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, now - kept)
    keep(KEYS[i])
  end
end
return cjson.encode({over = over})
"""
)
# KEYS: sets. ARGV: how long all is kept; for each set [[time, member]…]: to be there, or not (null).
_RECOUNT = (
    _KEEP
    + """
for i, rows in ipairs(cjson.decode(ARGV[2])) do
  for _, row in ipairs(rows) do
    if row[1] == cjson.null then
      redis.call('ZREM', KEYS[i], row[2])
    elseif row[1] > now - kept then
      redis.call('ZADD', KEYS[i], 'NX', row[1], row[2])
    end
  end
  keep(KEYS[i])
end
"""
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A notification and what is planned for it so far."""

    notification_id: UUID
    is_test: bool  # those of a test key are counted apart
    facts: Facts
    plan: Plan


_Set = tuple[bool, str, str]  # is it a test key's, category, user


@dataclass(frozen=True, slots=True)
class _Question:
    index: int
    planned: Planned
    due: Mapping[str, int]  # channel → when (ms); 0: at once
    limits: tuple[Limit, ...]

    @property
    def set(self) -> _Set:
        return self.planned.is_test, self.planned.facts.type.category, self.planned.facts.user_id

    @property
    def as_json(self) -> list[Any]:
        limits = [(limit.scope, limit.window_s * 1000, limit.maximum) for limit in self.limits]
        return [self.planned.notification_id.hex, list(self.due.items()), limits]


def count(planned: Sequence[Planned], now: datetime, *, is_rehearsal: bool) -> dict[int, Mapping[str, Limit]]:
    """Counts those that have a route, in order. → for each (by its index) that is over a cap, the channels concerned
    and the cap.

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
    over = [
        {channel: question.limits[number - 1] for channel, number in answer.items()}
        for question, answer in zip(questions, answers, strict=True)
    ]
    if not is_rehearsal:
        counted = [(one, one.due.keys() - beyond.keys()) for one, beyond in zip(questions, over, strict=True)]
        undone_by(partial(_give_back, [(one, channels) for one, channels in counted if channels]))
    return {question.index: channels for question, channels in zip(questions, over, strict=True) if channels}


def _question(index: int, one: Planned) -> _Question:
    due: dict[str, int] = {}
    for route in one.plan.routes:
        at = _ms(route.due_at) if route.due_at else 0
        due[route.channel] = min(at, due.get(route.channel, at))
    category = one.facts.type.category
    limits = limits_of(category, one.facts.preferences.caps.get(category, {}), current_settings().caps)
    concerned = tuple(limit for limit in limits if limit.scope == EVERY_CHANNEL or limit.scope in due)
    return _Question(index, one, due, concerned)


def _ask(questions: Sequence[_Question], now: datetime, is_rehearsal: bool) -> Sequence[Mapping[str, int]]:
    """One round trip, and two more when the database has to be asked first. Raises redis.RedisError."""
    sets = list(dict.fromkeys(question.set for question in questions))
    numbers = {set_: number for number, set_ in enumerate(sets, 2)}
    asked = json.dumps([[numbers[question.set], *question.as_json] for question in questions])
    told: dict[int, list[tuple[int, str]]] = {}
    asked_until = 0
    for _ in range(_TRIES):
        keys = [ASKED_UNTIL, *map(_key, sets)]
        rest = (int(is_rehearsal), asked, json.dumps(told), asked_until)
        answer = json.loads(redis_store.client.eval(_COUNT, len(keys), *keys, _KEPT_MS, *rest))
        if "over" in answer:
            return list(answer["over"])
        told |= _told({sets[number - 2]: number for number in answer["unknown"]}, now)
        asked_until = _asked_until(now) if answer["is_new"] else asked_until
    raise redis.RedisError("flushed again and again")


def _key(set_: _Set) -> str:
    is_test, category, user_id = set_
    return f"notifier:caps:{'test-' if is_test else ''}{category}:{user_id}"


def _member(notification_id: UUID, channel: str) -> str:
    return f"{notification_id.hex} {channel}"


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


_COLUMNS = (Notification.is_test, Notification.category, Notification.user_id, Notification.id, Notification.created_at)
_LIMITED = (
    sa.select(*_COLUMNS, Delivery.channel, Delivery.status, Delivery.due_at)
    .join(Delivery, Delivery.notification_id == Notification.id)
    .join(EventType, EventType.key == Notification.type)
    .where(Notification.category.in_(LIMITED), Notification.priority != "urgent")
    .where(~sa.or_(EventType.is_mandatory, EventType.is_internal, EventType.to_admins))
)


def _told(numbers: Mapping[_Set, int], now: datetime) -> dict[int, list[tuple[int, str]]]:
    """The database's counts, as the script takes them: of the last day, and of notifications scheduled for later."""
    oldest = now - _KEPT
    theirs = _LIMITED.where(Notification.user_id.in_({user_id for _, _, user_id in numbers}))
    # Each by an index of its own, so that earlier notifications are not read. Keys begin with the time.
    recent = theirs.where(Notification.id >= UUID(int=_ms(oldest) << 80), Notification.created_at > oldest)
    scheduled = theirs.where(Notification.send_at > oldest)
    told: dict[int, list[tuple[int, str]]] = {number: [] for number in numbers.values()}
    for set_, rows in _as_counted(db.session.execute(sa.union(recent, scheduled))).items():
        if set_ in numbers:
            told[numbers[set_]] = [(at, member) for at, member in rows if at is not None and at > _ms(oldest)]
    return told


def _as_counted(rows: Iterable[Any]) -> dict[_Set, list[tuple[int | None, str]]]:
    """Deliveries → the members of each set and when they are due; None: none of that channel goes out any more."""
    found: dict[_Set, dict[str, int | None]] = {}
    for row in rows:
        at = None if row.status in lifecycle.LEFT_OUT else _ms(max(row.created_at, row.due_at or row.created_at))
        members = found.setdefault((row.is_test, row.category, row.user_id), {})
        member = _member(row.id, row.channel)
        members[member] = min((time for time in (at, members.get(member)) if time is not None), default=None)
    return {set_: [(at, member) for member, at in members.items()] for set_, members in found.items()}


def _asked_until(now: datetime) -> int:
    """A day after the last of what is planned already."""
    last = db.session.scalar(sa.select(sa.func.max(Delivery.wake_at)).where(Delivery.wake_at.is_not(None)))
    return _ms(max(last or now, now) + _KEPT)


def recount(notification_ids: Iterable[UUID]) -> None:
    """For code that moves deliveries of these notifications to or from the statuses that do not count
    (`lifecycle.LEFT_OUT`).

    Inside its transaction. After the commit their counts are set to what the database says: one statement for a whole
    transaction, and one round trip if a cap concerns any of them. A channel with two addresses gives nothing back when
    one of them drops out.
    """
    once_committed(_recount, notification_ids)


def _recount(notification_ids: Collection[UUID]) -> None:
    if redis_store.is_away():
        return
    try:
        with db.engine.connect() as connection:
            counted = _as_counted(connection.execute(_LIMITED.where(Notification.id.in_(notification_ids))))
        if counted:
            keys, members = map(_key, counted), json.dumps(list(counted.values()))
            redis_store.client.eval(_RECOUNT, len(counted), *keys, _KEPT_MS, members)
    except (redis.RedisError, *UNAVAILABLE) as error:
        log.warning("caps.not_recounted", error=type(error).__name__, notifications=len(notification_ids))


def forget(user_id: str) -> None:
    """Deletes the counts of an erased person. After that transaction; without Redis they expire."""
    if redis_store.is_away():
        return
    keys = [_key((is_test, category, user_id)) for is_test in (False, True) for category in LIMITED]
    try:
        redis_store.client.delete(*keys)
    except redis.RedisError as error:
        log.warning("caps.not_forgotten", error=type(error).__name__)


def _give_back(counted: Sequence[tuple[_Question, Collection[str]]]) -> None:
    """After the transaction has come to nothing."""
    if not counted or redis_store.is_away():
        return
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for question, channels in counted:
                members = (_member(question.planned.notification_id, channel) for channel in channels)
                pipe.zrem(_key(question.set), *members)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("caps.not_given_back", error=type(error).__name__, notifications=len(counted))
