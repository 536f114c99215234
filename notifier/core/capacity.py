"""What a load takes, reckoned from what an operation was measured to cost: processes, cores, databases, disk.

Measured are CPU times and bytes (`Measured`); everything that follows from them here is arithmetic.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SECONDS_A_DAY = 86_400
PROCESS_AT = 0.5  # the share of a core that a process is planned with, so that a peak finds room
SERVER_AT = 0.6  # the same of PostgreSQL's cores, and of the one core that Redis has
IN_FLIGHT = 200  # sends of one channel that a worker process has under way at once: half of its lanes
SPARE_SCHEDULERS = 2
GB = 1_000_000_000

INAPP = "inapp"
_REPORTING = ("email", "sms", "push")  # whose providers tell afterwards what became of a message
_LIKE_WEBHOOK = "webhook"  # what a channel costs that was not measured: a post by HTTP


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of one operation, in µs."""

    ours: float
    redis: float
    database: float

    def times(self, count: float) -> "Cost":
        return Cost(self.ours * count, self.redis * count, self.database * count)


@dataclass(frozen=True, slots=True)
class Measured:
    """`costs`: by operation; `stored`: bytes of a row by its kind, and `events_a_delivery`."""

    costs: Mapping[str, Cost]
    stored: Mapping[str, float]

    def of_channel(self, channel: str) -> Cost:
        return self.costs.get(channel, self.costs[_LIKE_WEBHOOK])


@dataclass(frozen=True, slots=True)
class Load:
    """`per_second` on average, `peak` times as many at the worst moment. `channels`: the share of the notifications
    that goes out on each. `calls`: single, bulk or broadcast. `answer_s`: how long a provider takes.
    """

    per_second: float
    peak: float
    channels: Mapping[str, float]
    calls: str = "bulk"
    answer_s: float = 0.1
    people: int = 0
    database_cores: int = 16
    events_days: float = 14.0
    kept_days: float = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Cores are those in use at the peak. `databases`: of as many cores as the load names."""

    web: int
    workers: int
    schedulers: int
    web_cores: float
    worker_cores: float
    database_cores: float
    redis_cores: float
    databases: int
    redises: int
    bytes_a_day: float
    kept_bytes: float


def plan(load: Load, measured: Measured) -> Plan:
    peak = load.per_second * load.peak
    accepted = _accepting(load, measured).times(peak)
    sends = {channel: share * peak for channel, share in load.channels.items() if channel != INAPP}
    sending = [measured.of_channel(channel).times(rate) for channel, rate in sends.items()]
    told = measured.costs["receipt"].times(sum(rate for channel, rate in sends.items() if channel in _REPORTING))
    by_worker = [accepted, *sending] if load.calls == "broadcast" else sending
    by_web = [told] if load.calls == "broadcast" else [accepted, told]
    every = [accepted, told, *sending]
    web_cores, worker_cores = _cores(*(cost.ours for cost in by_web)), _cores(*(cost.ours for cost in by_worker))
    database, redis = _cores(*(cost.database for cost in every)), _cores(*(cost.redis for cost in every))
    in_flight = sum(math.ceil(rate * load.answer_s / IN_FLIGHT) for rate in sends.values())
    # An installation has one database and one Redis: whichever is too small, there are more of both
    databases = _at_least_one(max(database / load.database_cores, redis) / SERVER_AT)
    daily, of_events = _stored(load, measured)
    return Plan(
        web=_at_least_one(web_cores / PROCESS_AT),
        workers=max(_at_least_one(worker_cores / PROCESS_AT), in_flight),
        schedulers=SPARE_SCHEDULERS * databases,
        web_cores=web_cores,
        worker_cores=worker_cores,
        database_cores=database,
        redis_cores=redis,
        databases=databases,
        redises=databases,
        bytes_a_day=daily + of_events,
        kept_bytes=daily * load.kept_days
        + of_events * load.events_days
        + load.people * measured.stored["person_bytes"],
    )


def _accepting(load: Load, measured: Measured) -> Cost:
    """Of one notification. It was measured on two channels; more cost as much more as they have more rows."""
    return measured.costs[load.calls].times(max(1.0, sum(load.channels.values()) / 2))


def _stored(load: Load, measured: Measured) -> tuple[float, float]:
    """Bytes a day: what stays as long as the notification, and events."""
    size, shares = measured.stored, load.channels
    sends = sum(share for channel, share in shares.items() if channel != INAPP)
    submission = size["submission_bytes"] if load.calls != "broadcast" else 0.0
    one = (
        submission
        + size["notification_bytes"]
        + size["rest_bytes"]
        + size["delivery_bytes"] * (sends + shares.get(INAPP, 0.0))
        + size["attempt_bytes"] * sends
        + size["inbox_item_bytes"] * shares.get(INAPP, 0.0)
    )
    a_day = load.per_second * SECONDS_A_DAY
    events = size["events_a_delivery"] * sum(shares.values()) + sum(shares.get(channel, 0.0) for channel in _REPORTING)
    return one * a_day, size["event_bytes"] * events * a_day


def _cores(*micros: float) -> float:
    return sum(micros) / 1e6


def _at_least_one(count: float) -> int:
    return max(1, math.ceil(count))


def parse_count(text: str) -> float:
    """`250M`, `10k`, `1.5G`, `100,000`. Raises ValueError with a sentence."""
    units = {"k": 1e3, "m": 1e6, "g": 1e9}
    plain = text.strip().replace(",", "").lower()
    unit = units.get(plain[-1:], 1.0)
    try:
        count = float(plain[:-1] if plain[-1:] in units else plain) * unit
    except ValueError:
        count = math.nan
    if not 0 < count <= 1e13:
        raise ValueError("this must be a number above 0, such as 250M, 10k or 100,000")
    return count


def parse_share(text: str) -> tuple[str, float]:
    """`email=0.6` or `email=60%`. Raises ValueError with a sentence."""
    channel, _, amount = text.partition("=")
    try:
        share = float(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not (channel.isidentifier() and 0 <= share <= 10):
        raise ValueError("this must be a channel and its share, such as email=0.6 or email=60%")
    return channel, share
