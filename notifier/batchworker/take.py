"""Takes jobs: popping and registering as started are one atomic step, so that no kill can fall between them.

RQ pops from several queues with BLPOP and registers afterwards (rq#1716). Keys and fields are RQ's own:
`rq:queue:<name>`, `rq:job:<id>`, `rq:wip:<name>` (StartedJobRegistry, entries `job:execution`).
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from rq.utils import now, utcformat

from notifier.batchworker.contract import Job

QUEUE, JOB, WIP, WAKE = "rq:queue:", "rq:job:", "rq:wip:", "rq:wake:"

# KEYS: for each queue its list, its wip set and its wake list.
# ARGV: now, lease (a score), execution, worker, others' budget, number of classes, number of groups,
#       quota of each class, room of each group, then for each queue its class and its group (from 1).
# → how many of its quota each class took (nothing at all while `rq suspend` holds), and
#   for each job taken: index of its queue, id, data, whether it has failed before (ended_at is set).
_SCRIPT = """
local at, lease, execution, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', 'rq:suspended') == 1 then return {{}, {}} end
local others, classes, groups = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local quota, room, members, taken = {}, {}, {}, {}
local n = 7
for c = 1, classes do quota[c] = tonumber(ARGV[n + c]); members[c] = {} end
n = n + classes
for g = 1, groups do room[g] = tonumber(ARGV[n + g]) end
n = n + groups
local free = tonumber(ARGV[n + 1])
n = n + 1
for q = 1, #KEYS / 3 do
  local length = redis.call('LLEN', KEYS[3 * q - 2])
  if length > 0 then
    table.insert(members[tonumber(ARGV[n + 2 * q - 1])], {index = q, left = length, group = tonumber(ARGV[n + 2 * q])})
  else
    redis.call('DEL', KEYS[3 * q])
  end
end

local function pop(queue, most)
  local got = 0
  local ids = redis.call('LPOP', KEYS[3 * queue.index - 2], most)
  for _, id in ipairs(ids or {}) do
    queue.left = queue.left - 1
    local job = 'rq:job:' .. id
    local fields = redis.call('HMGET', job, 'data', 'ended_at')
    if fields[1] then
      redis.call('HSET', job, 'status', 'started', 'started_at', at, 'last_heartbeat', at, 'worker_name', worker)
      redis.call('ZADD', KEYS[3 * queue.index - 1], lease, id .. ':' .. execution)
      table.insert(taken, {queue.index, id, fields[1], fields[2] or ''})
      got = got + 1
    end
  end
  return got
end

-- Takes up to `most` from a class, in equal parts from its queues while they last.
local function serve(class, most)
  local total, moved = 0, true
  while total < most and moved do
    moved = false
    local open = {}
    for _, queue in ipairs(members[class]) do
      if queue.left > 0 and room[queue.group] > 0 then table.insert(open, queue) end
    end
    for i, queue in ipairs(open) do
      local part = math.ceil((most - total) / (#open - i + 1))
      part = math.min(part, queue.left, room[queue.group], most - total)
      if part > 0 then
        local got = pop(queue, part)
        room[queue.group] = room[queue.group] - got
        total = total + got
        moved = true
      end
    end
  end
  return total
end

local counts = {}
for pass = 1, 2 do
  for class = 1, classes do
    local most = (pass == 1) and math.min(quota[class], free) or free
    if class > 1 then most = math.min(most, others) end
    local got = serve(class, most)
    if pass == 1 then counts[class] = got end
    free = free - got
    if class > 1 then others = others - got end
  end
end
return {counts, taken}
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
        try:
            plain = zlib.decompress(self.data)
        except zlib.error:
            plain = self.data
        function, _instance, args, kwargs = json.loads(plain)
        return function, Job(self.id, self.source.name, self.execution, list(args), dict(kwargs))


class Taker:
    """Takes from a fixed list of sources."""

    def __init__(self, connection: redis.Redis, sources: Sequence[Source], worker: str) -> None:
        self._script = connection.register_script(_SCRIPT)
        self._sources = list(sources)
        self._groups = sorted({source.group for source in sources})
        self._classes = max(source.rank for source in sources) + 1
        self._worker = worker
        self._keys = [prefix + source.name for source in self._sources for prefix in (QUEUE, WIP, WAKE)]
        places = {group: index + 1 for index, group in enumerate(self._groups)}
        self._places = [number for source in self._sources for number in (source.rank + 1, places[source.group])]

    def take(self, *, free: int, others: int, quotas: Sequence[int], room: dict[str, int], lease: float) -> tuple[list[int], list[Raw]]:
        """Up to `free` jobs, of which up to `others` are not of the most pressing class. One round trip.

        → (how many of its quota each class took, the jobs). `lease` is the Unix time at which RQ may call them abandoned.
        """
        execution = uuid4().hex
        rooms = [max(0, room[group]) for group in self._groups]
        arguments: list[Any] = [utcformat(now()), lease, execution, self._worker, others, self._classes, len(rooms), *quotas, *rooms, free, *self._places]
        counts, taken = self._script(keys=self._keys, args=arguments)
        jobs = [Raw(job_id.decode(), self._sources[index - 1], execution, bytes(data), bool(ended_at)) for index, job_id, data, ended_at in taken]
        return [int(count) for count in counts], jobs
