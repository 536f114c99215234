"""Takes jobs: popping and registering as started are one atomic step, so that a kill cannot fall between them.

RQ pops from several queues with BLPOP and registers afterwards (rq#1716). Keys and fields are RQ's own:
`rq:queue:<name>`, `rq:job:<id>`, `rq:wip:<name>` (StartedJobRegistry, entries `job:execution`).
"""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from rq.utils import now, utcformat

from notifier.batchworker.contract import Job
from notifier.batchworker.shares import BEHIND

QUEUE, JOB, WIP, WAKE = "rq:queue:", "rq:job:", "rq:wip:", "rq:wake:"
SHARES = (
    "rq:shares:"  # + a digest of the queues: what their classes are owed, for all workers that take from the same ones
)
_SHARES_KEPT_S = 3_600
PRESSING = "rq:pressing"  # there as long as a job of the most pressing class was taken within PRESSING_S
PRESSING_S = 2
LONGEST_WAY_GIVEN_S = 1.0  # who does much beside pressing work pauses as long as that took, so long at most

# KEYS: for each queue its list, its wip set and its wake list; at last what the classes are owed, and PRESSING.
# ARGV: now, lease, execution, worker, free, others' budget, behind, kept, pressing, number of classes, number of
#       groups, share of each class, room of each group, then for each queue its class and its group (from 1).
# → for each job taken (none while `rq suspend` holds): index of its queue, id, data, whether it has failed before
# (ended_at is set).
#
# Who goes next is decided take by take, and what a class is owed is kept between calls and workers: so shares are of
# what is really taken, whatever lanes are free and whatever a channel has room for. Every take owes each class that
# could have had it its share of one; the most pressing class goes first, until another is `behind` takes back.
_SCRIPT = """
local at, lease, execution, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', 'rq:suspended') == 1 then return {} end
local free, others, behind = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local classes, groups = tonumber(ARGV[10]), tonumber(ARGV[11])
local shares, pressing = KEYS[#KEYS - 1], KEYS[#KEYS]
local share, room, queues, turn, taken = {}, {}, {}, {}, {}
local n = 11
for c = 1, classes do share[c], queues[c], turn[c] = tonumber(ARGV[n + c]), {}, 1 end
n = n + classes
for g = 1, groups do room[g] = tonumber(ARGV[n + g]) end
n = n + groups
local waiting = 0
for q = 1, (#KEYS - 2) / 3 do
  local length = redis.call('LLEN', KEYS[3 * q - 2])
  if length > 0 then
    waiting = waiting + length
    table.insert(queues[tonumber(ARGV[n + 2 * q - 1])],
      {index = q, left = length, group = tonumber(ARGV[n + 2 * q]), planned = 0})
  else
    redis.call('DEL', KEYS[3 * q])
  end
end
if waiting == 0 then return {} end

local owed = {}
for c = 1, classes do
  -- nothing is saved up by a class that has no work
  owed[c] = #queues[c] > 0 and tonumber(redis.call('HGET', shares, c) or 0) or 0
end

-- The queue of a class from which to take now: they have their turns, while they have jobs and room.
local function head(class)
  local mine = queues[class]
  for step = 0, #mine - 1 do
    local place = (turn[class] + step - 1) % #mine + 1
    local queue = mine[place]
    if queue.left > 0 and room[queue.group] > 0 then
      turn[class] = place
      return queue
    end
  end
end

-- → how many takes have been shared out among the queues (`planned`).
local function share_out(most)
  local heads = {}
  for class = 1, classes do heads[class] = head(class) end
  for planned = 0, most - 1 do
    local first, most_owed
    for class = 1, (others > 0) and classes or 1 do
      local queue = heads[class]
      if queue and (queue.left == 0 or room[queue.group] <= 0) then
        queue = head(class)
        heads[class] = queue
      end
      if queue then
        owed[class] = owed[class] + share[class]
        first = first or class
        if owed[class] >= behind and (not most_owed or owed[class] > owed[most_owed]) then most_owed = class end
      end
    end
    local class = most_owed or first
    if not class then return planned end
    local queue = heads[class]
    owed[class] = math.max(owed[class] - 1, 0)
    queue.planned, queue.left, room[queue.group] = queue.planned + 1, queue.left - 1, room[queue.group] - 1
    if class > 1 then others = others - 1 end
    if #queues[class] > 1 then
      turn[class] = turn[class] + 1
      heads[class] = head(class)
    end
  end
  return most
end

local function pop(queue, class)
  local got = 0
  for _, id in ipairs(redis.call('LPOP', KEYS[3 * queue.index - 2], queue.planned) or {}) do
    local job = 'rq:job:' .. id
    local fields = redis.call('HMGET', job, 'data', 'ended_at')
    if fields[1] then
      redis.call('HSET', job, 'status', 'started', 'started_at', at, 'last_heartbeat', at, 'worker_name', worker)
      redis.call('ZADD', KEYS[3 * queue.index - 1], lease, id .. ':' .. execution)
      table.insert(taken, {queue.index, id, fields[1], fields[2] or ''})
      got = got + 1
    end
  end
  -- Jobs that are gone (cancelled) have used up nothing.
  room[queue.group] = room[queue.group] + queue.planned - got
  if class > 1 then others = others + queue.planned - got end
  if class == 1 and got > 0 then redis.call('SET', pressing, 1, 'EX', ARGV[9]) end
  queue.planned = 0
  return got
end

while free > 0 and share_out(free) > 0 do
  for class = 1, classes do
    for _, queue in ipairs(queues[class]) do
      if queue.planned > 0 then free = free - pop(queue, class) end
    end
  end
end
local kept = {}
for class = 1, classes do
  table.insert(kept, class)
  table.insert(kept, owed[class])
end
redis.call('HSET', shares, unpack(kept))
redis.call('EXPIRE', shares, ARGV[8])
return taken
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A queue to take from. `rank`: its class, 0 the most pressing. `group`: those that share a ceiling of lanes."""

    name: str
    rank: int
    group: str


@dataclass(frozen=True, slots=True)
class Raw:
    """A job as it was taken. `failed_before`: this ring is from before its failure, and nobody asked for it again."""

    id: str
    source: Source
    execution: str
    data: bytes
    failed_before: bool

    def decode(self) -> tuple[str, Job]:
        """→ (dotted name of its function, the job). Raises ValueError for data that is not RQ's JSON."""
        plain = self.data
        if not plain.startswith(b"["):  # RQ compresses; asking zlib costs more than the rest of this
            with contextlib.suppress(zlib.error):
                plain = zlib.decompress(plain)
        match json.loads(plain):
            case [str(function), _, list(args), dict(kwargs)]:
                return function, Job(self.id, self.source.name, self.execution, args, kwargs)
        raise ValueError("this is no job as RQ's JSON serializer writes it")

    @property
    def unread(self) -> Job:
        """The job, as far as it is known without its data."""
        return Job(self.id, self.source.name, self.execution, [], {})


class Taker:
    """Takes from a fixed list of sources. `weights`: the shares of their classes, the most pressing first."""

    def __init__(
        self, connection: redis.Redis, sources: Sequence[Source], worker: str, weights: Sequence[float]
    ) -> None:
        self._script = connection.register_script(_SCRIPT)
        self._sources = list(sources)
        self._groups = sorted({source.group for source in sources})
        self._shares = [weight / sum(weights) for weight in weights[: max(source.rank for source in sources) + 1]]
        self._worker = worker
        digest = hashlib.sha256("\n".join(sorted(source.name for source in sources)).encode()).hexdigest()[:16]
        self._keys = [
            *(prefix + source.name for source in self._sources for prefix in (QUEUE, WIP, WAKE)),
            SHARES + digest,
            PRESSING,
        ]
        places = {group: index + 1 for index, group in enumerate(self._groups)}
        self._places = [number for source in self._sources for number in (source.rank + 1, places[source.group])]

    def take(self, *, free: int, others: int, room: dict[str, int], lease: float) -> list[Raw]:
        """Up to `free` jobs, of which up to `others` are not of the most pressing class. One round trip.

        `room`: how many more each group may hold. `lease` is the Unix time at which RQ may call them abandoned.
        """
        execution = uuid4().hex
        rooms = [max(0, room[group]) for group in self._groups]
        counts = [free, others, BEHIND, _SHARES_KEPT_S, PRESSING_S, len(self._shares), len(rooms)]
        arguments: list[Any] = [
            utcformat(now()),
            lease,
            execution,
            self._worker,
            *counts,
            *self._shares,
            *rooms,
            *self._places,
        ]
        taken = self._script(keys=self._keys, args=arguments)
        return [
            Raw(job_id.decode(), self._sources[index - 1], execution, bytes(data), bool(ended_at))
            for index, job_id, data, ended_at in taken
        ]
