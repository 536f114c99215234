"""How the counts of caps stand in Redis: the keys, members and scripts.

Used by `caps`, which runs the scripts, and by `caps_in_database`, which gives the database's counts this form.
"""

from datetime import datetime, timedelta
from uuid import UUID

from notifier.core.limits import WINDOWS_S

# Processes of an earlier version count by notification, under `notifier:caps:`; that would come on top of ours
ASKED_UNTIL = "notifier:caps2:asked_until"  # until when (ms) the database may know of what a FLUSHALL took
KEPT = timedelta(seconds=max(WINDOWS_S.values()))
KEPT_MS = int(KEPT.total_seconds() * 1000)

CapSet = tuple[bool, str, str]  # is it a test key's, category, user

# A sorted set for each person and category: a member `submission channel` for each channel of a notification, by the
# time (ms) it is due, and the member `` (at -1) where it is known that nothing is missing. It is kept for a day after
# the last one. A person gets one notification of a submission, and it has this id before it is stored: whoever
# expands a submission again, since the one before was killed, counts the same members.
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
# [[set, submission, [[channel, due]…], [[scope, window, maximum]…]]…]; what the database knows
# {set: [[time, member]…]}, and until when it is to be asked (0: not known yet).
# → {unknown: [set…], is_new: …}: the database is to be asked first; or {over: [{channel: number of the limit}…]}.
COUNT = (
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

-- [[time, submission]…] of what is counted of others by a channel (`*`: by whichever) less than a window before or
-- after a time, in order.
local function near(i, own, scope, at, window)
  local from, to = at - window, at + window
  local range = {string.format('(%.0f', from), string.format('(%.0f', to)}
  local flat = redis.call('ZRANGEBYSCORE', KEYS[i], range[1], range[2], 'WITHSCORES')
  local rows = {}
  local function take(time, member)
    local id, channel = string.match(member, '^(%S+) (.*)$')
    if id and id ~= own and (scope == '*' or scope == channel) then table.insert(rows, {time, id}) end
  end
  for n = 1, #flat, 2 do take(tonumber(flat[n + 1]), flat[n]) end
  for _, row in ipairs(seen[i]) do
    if row[1] > from and row[1] < to then take(row[1], row[2]) end
  end
  table.sort(rows, function(one, other) return one[1] < other[1] end)
  return rows
end

-- The most notifications that any window holds which contains this time.
local function fullest(i, own, scope, at, window)
  local rows, first, times, n, most = near(i, own, scope, at, window), 1, {}, 0, 0
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
      local concerns = not over[n][channel] and (scope == '*' or scope == channel) and size >= maximum
      if concerns and fullest(i, id, scope, at, window) >= maximum then over[n][channel] = number end
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
RECOUNT = (
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


def key_of(set_: CapSet) -> str:
    is_test, category, user_id = set_
    return f"notifier:caps2:{'test-' if is_test else ''}{category}:{user_id}"


def member_of(submission_id: UUID, channel: str) -> str:
    return f"{submission_id.hex} {channel}"


def ms_of(at: datetime) -> int:
    return int(at.timestamp() * 1000)
