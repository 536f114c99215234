"""The health of providers, shared by all workers through Redis: circuit breakers and pace.

A *scope* is a provider, or one server of a provider that calls people's own servers (so a dead webhook stops nobody
else), or one receiver there, who may ask us to wait (`Adapter.scope`, `Adapter.receiver`). Workers ask once per batch
before they send (`admit`) and report once per batch afterwards (`report`); no send needs a round trip of its own.
Refused deliveries wait in the database; the scheduler asks how many of them may go on (`let_out`). Redis' clock counts,
so hosts may disagree about the time. While Redis is down every delivery is admitted: the database's retries still
apply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis
import structlog

from notifier.channels.contract import RECEIVER_MARK
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ledgers import audit
from notifier.signals import publish

WINDOW_MS = 30_000  # outcomes of the last half to whole window are judged
LEAST_CALLS = 10  # fewer say nothing
WORST_RATIO = 0.5  # of failures, at which a breaker opens
OPEN_MS = 5_000  # the first time; twice as long after every probe that fails
LONGEST_OPEN_MS = 120_000
PROBE_MS = 15_000  # how long one probe is waited for before the next is let through
PAUSE_MS = 60_000  # for wrong credentials, or an unlikely number of dead addresses
FIRST_OUT = 50  # of those that waited for a scope, when it is well again; twice as many every time until MOST_OUT
MOST_OUT = 1_000
MOST_INVALID = 20  # dead addresses in a window, making up half of all: that is our fault, not theirs
_KEPT_S = 3_600

FORCED = ("open", "closed", "auto")
_DONE = {"open": "opened", "closed": "closed", "auto": "left_to_itself"}
_PREFIX, _RECEIVER_PREFIX = "notifier:health:", "notifier:receiver:"

log = structlog.get_logger()

# One hash per scope: bucket, good, bad, invalid, and the same of the bucket before (good0 …); open_until and trips
# (open or half open while trips > 0); probe_until; blocked_until (the provider told us to wait); tokens, tokens_at;
# forced; and of what waits: rung_until (one was let out to be the next probe), out (as many were let out last),
# out_tokens, out_at. Forgotten when nothing is heard of it for _KEPT_S, unless it is forced.
_COMMON = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function read(key)
  local flat, h = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
  return setmetatable({}, {__index = function(_, name) return tonumber(h[name] or 0) or 0 end}), h['forced']
end
local function refilled(tokens, at, pace)
  local most = math.max(1, pace)
  return (at == 0) and most or math.min(most, tokens + (now - at) * pace / 1000), most
end
"""

# KEYS: scopes. ARGV: probe, kept, then for each scope how many it wants and its pace (calls a second, 0 for none).
# → for each scope: how many are admitted, in how many ms to ask again for the rest, and whether they wait for
# its pace alone.
_ADMIT = (
    _COMMON
    + """
local answer = {}
for i, key in ipairs(KEYS) do
  local want, pace = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local h, forced = read(key)
  local granted, wait, paced = want, 0, 0
  if forced == 'open' then
    granted, wait = 0, 60000
  elseif h.blocked_until > now then
    granted, wait = 0, h.blocked_until - now
  elseif h.trips > 0 and forced ~= 'closed' then
    if h.open_until > now then
      granted, wait = 0, h.open_until - now
    elseif h.probe_until > now then
      granted, wait = 0, h.probe_until - now
    elseif want > 0 then
      granted, wait = 1, tonumber(ARGV[1])
      redis.call('HSET', key, 'probe_until', now + ARGV[1])
    end
  end
  if granted > 0 and pace > 0 then
    local tokens, most = refilled(h.tokens, h.tokens_at, pace)
    local taken = math.min(granted, math.floor(tokens))
    redis.call('HSET', key, 'tokens', tokens - taken, 'tokens_at', now)
    if not forced then redis.call('EXPIRE', key, ARGV[2]) end
    if taken < granted then
      paced = (wait == 0) and 1 or 0
      wait = math.max(wait, math.ceil((1 + math.min(granted - taken, most) / 2 - (tokens - taken)) * 1000 / pace))
    end
    granted = taken
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = granted, wait, paced
end
return answer
"""
)

# KEYS: scopes. ARGV: probe, kept, first, most, then the pace of each. → for each scope how many of those that wait for
# it may go on.
_LET_OUT = (
    _COMMON
    + """
local answer = {}
for i, key in ipairs(KEYS) do
  local pace = tonumber(ARGV[4 + i])
  local h, forced = read(key)
  local n = 0
  if forced == 'open' or h.blocked_until > now then
    n = 0
  elseif h.trips > 0 and forced ~= 'closed' then
    if h.open_until <= now and h.probe_until <= now and h.rung_until <= now then
      n = 1
      redis.call('HSET', key, 'rung_until', now + ARGV[1])
    end
  elseif pace > 0 then
    local tokens = refilled(h.out_tokens, h.out_at, pace)
    n = math.min(math.floor(tokens), tonumber(ARGV[4]))
    redis.call('HSET', key, 'out_tokens', tokens - n, 'out_at', now)
  else
    n = math.min(math.max(2 * h.out, tonumber(ARGV[3])), tonumber(ARGV[4]))
    redis.call('HSET', key, 'out', n)
  end
  if n > 0 and not forced then redis.call('EXPIRE', key, ARGV[2]) end
  answer[i] = n
end
return answer
"""
)

# KEYS: scopes. ARGV: window, least, ratio, open, longest, most invalid, pause, kept, then for each scope
# good, bad, invalid, misconfigured (0 or 1), blocked for (ms). → for each scope what happened: '', 'opened',
# 'paused', 'closed'.
_REPORT = (
    _COMMON
    + """
local half = ARGV[1] / 2
local answer = {}
for i, key in ipairs(KEYS) do
  local n = 8 + 5 * (i - 1)
  local good, bad, invalid = tonumber(ARGV[n + 1]), tonumber(ARGV[n + 2]), tonumber(ARGV[n + 3])
  local misconfigured, blocked = tonumber(ARGV[n + 4]), tonumber(ARGV[n + 5])
  local h, forced = read(key)
  local bucket = math.floor(now / half)
  local set = {bucket = bucket, good = good, bad = bad, invalid = invalid, good0 = 0, bad0 = 0, invalid0 = 0}
  if h.bucket == bucket then
    set.good, set.bad, set.invalid = h.good + good, h.bad + bad, h.invalid + invalid
    set.good0, set.bad0, set.invalid0 = h.good0, h.bad0, h.invalid0
  elseif h.bucket == bucket - 1 then
    set.good0, set.bad0, set.invalid0 = h.good, h.bad, h.invalid
  end
  local all_bad, dead = set.bad + set.bad0, set.invalid + set.invalid0
  local all = set.good + set.good0 + all_bad
  local happened = ''
  local function open(ms, what)
    set.trips, set.open_until, set.probe_until, set.rung_until, set.out = h.trips + 1, now + ms, 0, 0, 0
    set.good, set.bad, set.invalid, set.good0, set.bad0, set.invalid0 = 0, 0, 0, 0, 0, 0
    happened = what
  end
  if h.trips > 0 then
    if h.open_until <= now then
      if misconfigured == 1 then
        open(tonumber(ARGV[7]), '')
      elseif good > 0 then
        set.trips, set.open_until, set.probe_until = 0, 0, 0
        happened = 'closed'
      elseif bad > 0 then
        open(math.min(ARGV[4] * 2 ^ h.trips, tonumber(ARGV[5])), '')
      end
    end
  elseif misconfigured == 1 then
    open(tonumber(ARGV[7]), 'paused')
  elseif dead >= tonumber(ARGV[6]) and dead * 2 >= all then
    open(tonumber(ARGV[7]), 'paused')
  elseif all >= tonumber(ARGV[2]) and all_bad >= all * ARGV[3] then
    open(tonumber(ARGV[4]), 'opened')
  end
  if blocked > 0 then set.blocked_until, set.out = math.max(h.blocked_until, now + blocked), 0 end
  local flat = {}
  for name, value in pairs(set) do table.insert(flat, name); table.insert(flat, value) end
  redis.call('HSET', key, unpack(flat))
  if not forced then redis.call('EXPIRE', key, ARGV[8]) end
  answer[i] = happened
end
return answer
"""
)


@dataclass(frozen=True, slots=True)
class Want:
    """How many sends a scope is asked for. `per_second` is its pace, None for none."""

    scope: str
    count: int
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """How many may go now; the rest could in `wait_ms`. `is_paced`: nothing but the scope's pace is in their way."""

    count: int
    wait_ms: int
    is_paced: bool = False


@dataclass(slots=True)
class Tally:
    """The results of the sends to one scope. `bad` are outages; a refusal or a dead address shows that the provider
    works.
    """

    good: int = 0
    bad: int = 0
    invalid: int = 0
    is_misconfigured: bool = False
    blocked_ms: int = 0


def admit(wants: Sequence[Want]) -> dict[str, Grant]:
    """Asks for all scopes at once: one round trip."""
    if not wants:
        return {}
    arguments: list[float] = [PROBE_MS, _KEPT_S]
    for want in wants:
        arguments += [want.count, want.per_second or 0]
    try:
        answer = redis_store.client.eval(_ADMIT, len(wants), *[_key(want.scope) for want in wants], *arguments)
    except redis.RedisError:
        return {want.scope: Grant(want.count, 0) for want in wants}
    return {
        want.scope: Grant(int(answer[3 * i]), int(answer[3 * i + 1]), bool(answer[3 * i + 2]))
        for i, want in enumerate(wants)
    }


def let_out(paces: Mapping[str, float | None]) -> dict[str, int]:
    """Scope → how many of the deliveries that wait for it may be rung now; `paces` are calls a second. One round trip.
    Raises redis.RedisError.

    One, for a probe, where the breaker is half open and nobody has been let out for it yet; as many as its pace allows;
    more and more where there is no pace, so that a provider that has just recovered is not run over.
    """
    if not paces:
        return {}
    arguments: list[float] = [PROBE_MS, _KEPT_S, FIRST_OUT, MOST_OUT, *(pace or 0 for pace in paces.values())]
    answer = redis_store.client.eval(_LET_OUT, len(paces), *map(_key, paces), *arguments)
    return dict(zip(paces, map(int, answer), strict=True))


def _key(scope: str) -> str:
    """Receivers stand apart, since nobody wants to read about them one by one."""
    return (_RECEIVER_PREFIX if RECEIVER_MARK in scope else _PREFIX) + scope


def report(tallies: Mapping[str, Tally]) -> dict[str, str]:
    """Reports the results of a batch. → scope: `opened`, `paused` or `closed`, where that has just happened."""
    if not tallies:
        return {}
    arguments: list[float] = [
        WINDOW_MS,
        LEAST_CALLS,
        WORST_RATIO,
        OPEN_MS,
        LONGEST_OPEN_MS,
        MOST_INVALID,
        PAUSE_MS,
        _KEPT_S,
    ]
    for tally in tallies.values():
        arguments += [tally.good, tally.bad, tally.invalid, int(tally.is_misconfigured), tally.blocked_ms]
    try:
        answer = redis_store.client.eval(_REPORT, len(tallies), *map(_key, tallies), *arguments)
    except redis.RedisError:
        return {}
    happened = {scope: word.decode() for scope, word in zip(tallies, answer, strict=True) if word}
    for scope, what in happened.items():
        log.warning("provider.health_changed", provider=scope, now=what)
    if happened:
        publish.hint(publish.OVERVIEW, publish.QUEUES)
    return happened


def force(scope: str, state: str) -> None:
    """A person's word: `open` lets nothing through, `closed` everything, `auto` leaves it to the breaker."""
    if state not in FORCED:
        raise ValueError(f"a breaker can be forced {', '.join(FORCED)}")
    client, key = redis_store.client, _key(scope)
    with transaction():  # it is told only if it has happened
        audit.write(f"breaker.{_DONE[state]}", scope)
        if state == "auto":
            client.hdel(key, "forced")
            client.expire(key, _KEPT_S)
        else:
            client.hset(key, "forced", state)
            client.persist(key)  # and reports in the meantime do not delete it
    publish.hint(publish.OVERVIEW, publish.QUEUES)


def forget(scope: str) -> None:
    """For a removed account: its breaker, forced or not, must not apply to the next account of its name."""
    try:
        redis_store.client.delete(_key(scope))
    except redis.RedisError as error:
        log.warning("health.redis_away", error=type(error).__name__)
        return
    publish.hint(publish.OVERVIEW, publish.QUEUES)


def states() -> dict[str, str]:
    """scope → closed, open, half_open, forced_open or forced_closed, for every scope that has been used lately."""
    client = redis_store.client
    keys = sorted(client.scan_iter(_PREFIX + "*", count=500))
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for key in keys:
            pipe.hmget(key, "trips", "open_until", "forced")
        (seconds, micros), *rows = pipe.execute()
    now_ms = seconds * 1000 + micros // 1000
    return {key.decode().removeprefix(_PREFIX): _state(row, now_ms) for key, row in zip(keys, rows, strict=True)}


def _state(row: Sequence[bytes | None], now_ms: int) -> str:
    trips, open_until, forced = row
    if forced:
        return f"forced_{forced.decode()}"
    if not trips or float(trips) == 0:
        return "closed"
    return "open" if float(open_until or 0) > now_ms else "half_open"
