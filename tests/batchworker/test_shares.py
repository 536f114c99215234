"""Shares are of what is really taken: urgent first, and the lowest class still gets its share, whatever else is going
on. On a real Redis.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from rq.job import Job as RqJob

from notifier.batchworker import Source
from notifier.batchworker.shares import WEIGHTS, ceiling, kept_for_urgent
from notifier.batchworker.take import PRESSING, QUEUE, SHARES, Taker

CLASSES = ("urgent", "high", "medium", "low")
CHANNELS = ("mail", "text")
SOURCES = [Source(f"{channel}.{name}", rank, channel) for rank, name in enumerate(CLASSES) for channel in CHANNELS]
MANY = 2_000
WINDOW, LEAST_LOW = 1_000, 80  # of any so many takes while all wait, so many are low


@pytest.fixture(scope="module")
def connection(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, db=2)
    yield client
    client.flushdb()
    client.close()


# Tens of thousands of jobs: by a command for each, filling would cost more than all that is looked at.
_FILL = """
for number = ARGV[2], ARGV[2] + ARGV[3] - 1 do
    local id = string.format('%d', number)
    redis.call('HSET', ARGV[1] .. id, 'data', '["f", null, [], {}]')
    redis.call('RPUSH', KEYS[1], 'job' .. id)
end
"""


class Trial:
    """Queues that are filled, and workers that take from them. `taken` are the classes of all that was, in order."""

    def __init__(self, connection: redis.Redis, workers: int = 1, sources: Sequence[Source] = SOURCES) -> None:
        connection.flushdb()
        self.connection = connection
        self.takers = [Taker(connection, sources, f"worker{number}", WEIGHTS) for number in range(workers)]
        self.groups = sorted({source.group for source in sources})
        self.taken: list[str] = []
        self.added = 0
        self.waiting: Counter[str] = Counter()

    def fill(self, name: str, to: int) -> None:
        """Until so many wait there."""
        missing = to - self.waiting[name]
        if missing <= 0:
            return
        self.waiting[name] = to
        self.connection.eval(_FILL, 1, QUEUE + name, RqJob.key_for("job"), self.added, missing)
        self.added += missing

    def take(
        self, free: int, *, worker: int = 0, room: dict[str, int] | None = None, others: int | None = None
    ) -> list[str]:
        room = room or dict.fromkeys(self.groups, free)
        jobs = self.takers[worker].take(free=free, others=free if others is None else others, room=room, lease=0)
        assert len(jobs) <= free
        for group in self.groups:
            assert sum(job.source.group == group for job in jobs) <= room[group]
        if jobs:
            self.connection.delete(*(RqJob.key_for(job.id) for job in jobs))
        self.waiting.subtract(job.source.name for job in jobs)
        # What one call takes is begun together: for the law they stand in the worst order, low ones last.
        found = [job.source.name.partition(".")[2] for job in sorted(jobs, key=lambda job: job.source.rank)]
        self.taken += found
        return found


def fewest_low(taken: Sequence[str]) -> int:
    """In any window of a thousand."""
    low = [0]
    for name in taken:
        low.append(low[-1] + (name == "low"))
    return min(low[end] - low[end - WINDOW] for end in range(WINDOW, len(low)))


# Of each take: by which worker, how many lanes are free, how many each channel has room for, and may others than urgent
# ones be taken.
takes = st.lists(
    st.tuples(st.integers(0, 7), st.integers(1, 200), st.integers(0, 64), st.integers(0, 64)), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(max_examples=40)
@given(takes, st.sampled_from([CHANNELS, CHANNELS[:1]]), st.lists(st.integers(1, 400), min_size=4, max_size=4))
def test_while_all_wait_a_window_of_a_thousand_takes_is_eight_percent_low(
    connection: redis.Redis, pattern: list[tuple[int, int, int, int]], channels: Sequence[str], lengths: list[int]
) -> None:
    trial = Trial(connection, workers=8)
    while len(trial.taken) < MANY:
        before = len(trial.taken)
        for worker, free, mails, texts in pattern:
            for rank, name in enumerate(CLASSES):
                for channel in channels:
                    if trial.waiting[f"{channel}.{name}"] <= free:  # whatever arrives, something of each is left
                        trial.fill(f"{channel}.{name}", lengths[rank] + free)
            trial.take(free, worker=worker, room={"mail": mails, "text": texts})
        if len(trial.taken) == before:
            return  # neither channel had room for anything
    assert fewest_low(trial.taken) >= LEAST_LOW


@pytest.mark.parametrize("workers", [1, 2, 50])
@pytest.mark.parametrize("free", [1, 2, 3, 7, 64, 200])
def test_with_work_for_all_each_gets_its_weight(connection: redis.Redis, free: int, workers: int) -> None:
    trial = Trial(connection, workers)
    while len(trial.taken) < MANY:
        for name in CLASSES:
            trial.fill(f"text.{name}", 400)
        trial.take(free, worker=len(trial.taken) % workers)
    counts = Counter(trial.taken)
    assert [round(counts[name] / len(trial.taken), 1) for name in CLASSES] == [0.4, 0.3, 0.2, 0.1]
    assert fewest_low(trial.taken) >= LEAST_LOW


@pytest.mark.parametrize("room", [1, 2, 5])
def test_shares_hold_for_a_channel_at_its_ceiling_however_many_lanes_are_free(
    connection: redis.Redis, room: int
) -> None:
    trial = Trial(connection)
    while len(trial.taken) < MANY:
        for name in CLASSES:
            trial.fill(f"text.{name}", 50)
        assert len(trial.take(200, room={"mail": 64, "text": room})) == room
    counts = Counter(trial.taken)
    assert [round(counts[name] / len(trial.taken), 1) for name in CLASSES] == [0.4, 0.3, 0.2, 0.1]


def test_a_little_urgent_work_passes_all_that_waits_even_one_lane_at_a_time(connection: redis.Redis) -> None:
    trial = Trial(connection)
    for name in CLASSES[1:]:
        trial.fill(f"text.{name}", MANY)
    for _ in range(200):
        trial.take(3)
    trial.fill("text.urgent", 3)
    behind = [name for _ in range(6) for name in trial.take(1)]
    assert behind.count("urgent") == 3


def test_urgent_work_that_comes_to_a_long_backlog_is_taken_first(connection: redis.Redis) -> None:
    trial = Trial(connection)
    for name in CLASSES[1:]:
        trial.fill(f"text.{name}", 500)
    trial.fill("text.urgent", 20)
    assert trial.take(20) == ["urgent"] * 20


@pytest.mark.parametrize(("name", "presses"), [("mail.urgent", True), ("mail.high", False), ("mail.low", False)])
def test_only_urgent_work_that_is_taken_presses(connection: redis.Redis, name: str, presses: bool) -> None:
    trial = Trial(connection)
    trial.fill(name, 1)
    assert not connection.exists(PRESSING)
    trial.take(1)
    assert bool(connection.exists(PRESSING)) is presses


def test_nobody_waits_for_classes_that_have_nothing(connection: redis.Redis) -> None:
    trial = Trial(connection)
    trial.fill("text.low", 100)
    assert trial.take(100) == ["low"] * 100


@settings(max_examples=40)
@given(st.lists(st.integers(0, 60), min_size=8, max_size=8), st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_no_lane_stays_free_while_there_is_work(
    connection: redis.Redis, backlogs: list[int], budgets: list[int]
) -> None:
    trial = Trial(connection)
    for source, backlog in zip(SOURCES, backlogs, strict=True):
        trial.fill(source.name, backlog)
    for free in budgets:
        trial.take(free)
    assert len(trial.taken) == min(sum(backlogs), sum(budgets))


def test_lanes_kept_for_urgent_work_take_nothing_else(connection: redis.Redis) -> None:
    trial = Trial(connection)
    for name in CLASSES:
        trial.fill(f"text.{name}", 100)
    assert Counter(trial.take(50, others=4))["urgent"] == 46


def test_a_class_that_had_no_work_for_long_does_not_hoard(connection: redis.Redis) -> None:
    trial = Trial(connection)
    for name in CLASSES[:3]:
        trial.fill(f"text.{name}", MANY)
    for _ in range(50):
        trial.take(20)
    trial.fill("text.low", 500)
    assert trial.take(20).count("low") <= 3


def test_queues_of_a_class_have_equal_parts(connection: redis.Redis) -> None:
    trial = Trial(connection)
    for channel in CHANNELS:
        trial.fill(f"{channel}.high", 100)
    jobs = trial.takers[0].take(free=40, others=40, room={"mail": 40, "text": 40}, lease=0)
    assert Counter(job.source.name for job in jobs) == {"mail.high": 20, "text.high": 20}


def test_jobs_that_are_gone_use_up_no_lane(connection: redis.Redis) -> None:
    trial = Trial(connection)
    trial.fill("text.high", 30)
    for number in range(20):
        connection.delete(RqJob.key_for(f"job{number}"))
    assert len(trial.take(10)) == 10


def test_what_is_owed_is_forgotten_when_nobody_has_taken_for_long(connection: redis.Redis) -> None:
    trial = Trial(connection)
    trial.fill("text.low", 1)
    trial.take(1)
    [key] = connection.keys(SHARES + "*")
    assert 0 < connection.ttl(key) <= 3_600


@pytest.mark.parametrize(("lanes", "groups", "most"), [(128, 9, 64), (128, 1, 128), (1, 9, 1)])
def test_a_group_holds_at_most_half_the_lanes(lanes: int, groups: int, most: int) -> None:
    assert ceiling(lanes, groups) == most


@pytest.mark.parametrize(("lanes", "kept"), [(1, 0), (3, 0), (4, 1), (128, 16)])
def test_some_lanes_are_kept_for_urgent_work(lanes: int, kept: int) -> None:
    assert kept_for_urgent(lanes) == kept
