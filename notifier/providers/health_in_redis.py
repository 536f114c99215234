"""How the health of providers stands in Redis: the keys, fields and scripts.

Used by `health`, which runs the scripts and holds the figures by which they judge.
"""

from notifier.channels.contract import RECEIVER_MARK

KEPT_S = 3_600
PREFIX, _RECEIVER_PREFIX = "notifier:health:", "notifier:receiver:"

# One hash per scope: bucket, good, bad, invalid, and the same of the bucket before (good0 …); open_until and trips
# (open or half open while trips > 0); opened_at and why (failing, refused, invalid); probe_until; blocked_until (the
# provider told us to wait); tokens, tokens_at; forced, forced_at, forced_by; and of what waits: rung_until (one was let
# out to be the next probe), out (as many were let out last), out_tokens, out_at. Forgotten when nothing is heard of it
# for KEPT_S, unless it is forced.
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
ADMIT = (
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
LET_OUT = (
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
REPORT = (
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
  local function open(ms, what, why)
    set.opened_at, set.why = h.trips > 0 and h.opened_at > 0 and h.opened_at or now, why
    set.trips, set.open_until, set.probe_until, set.rung_until, set.out = h.trips + 1, now + ms, 0, 0, 0
    set.good, set.bad, set.invalid, set.good0, set.bad0, set.invalid0 = 0, 0, 0, 0, 0, 0
    happened = what
  end
  if h.trips > 0 then
    if h.open_until <= now then
      if misconfigured == 1 then
        open(tonumber(ARGV[7]), '', 'refused')
      elseif good > 0 then
        set.trips, set.open_until, set.probe_until = 0, 0, 0
        happened = 'closed'
      elseif bad > 0 then
        open(math.min(ARGV[4] * 2 ^ h.trips, tonumber(ARGV[5])), '', 'failing')
      end
    end
  elseif misconfigured == 1 then
    open(tonumber(ARGV[7]), 'paused', 'refused')
  elseif dead >= tonumber(ARGV[6]) and dead * 2 >= all then
    open(tonumber(ARGV[7]), 'paused', 'invalid')
  elseif all >= tonumber(ARGV[2]) and all_bad >= all * ARGV[3] then
    open(tonumber(ARGV[4]), 'opened', 'failing')
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


def key_of(scope: str) -> str:
    """Receivers stand apart, since nobody wants to read about them one by one."""
    return (_RECEIVER_PREFIX if RECEIVER_MARK in scope else PREFIX) + scope
