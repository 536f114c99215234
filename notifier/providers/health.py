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
from datetime import UTC, datetime

import redis
import structlog

from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ledgers import audit
from notifier.providers.health_in_redis import ADMIT, KEPT_S, LET_OUT, PREFIX, REPORT, key_of
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

FORCED = ("open", "closed", "auto")
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
_FIELDS = ("trips", "open_until", "opened_at", "why", "blocked_until", "forced", "forced_at", "forced_by")
_DONE = {"open": "opened", "closed": "closed", "auto": "left_to_itself"}

log = structlog.get_logger()


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
    arguments: list[float] = [PROBE_MS, KEPT_S]
    for want in wants:
        arguments += [want.count, want.per_second or 0]
    try:
        answer = redis_store.client.eval(ADMIT, len(wants), *[key_of(want.scope) for want in wants], *arguments)
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
    arguments: list[float] = [PROBE_MS, KEPT_S, FIRST_OUT, MOST_OUT, *(pace or 0 for pace in paces.values())]
    answer = redis_store.client.eval(LET_OUT, len(paces), *map(key_of, paces), *arguments)
    return dict(zip(paces, map(int, answer), strict=True))


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
        KEPT_S,
    ]
    for tally in tallies.values():
        arguments += [tally.good, tally.bad, tally.invalid, int(tally.is_misconfigured), tally.blocked_ms]
    try:
        answer = redis_store.client.eval(REPORT, len(tallies), *map(key_of, tallies), *arguments)
    except redis.RedisError:
        return {}
    happened = {scope: word.decode() for scope, word in zip(tallies, answer, strict=True) if word}
    for scope, what in happened.items():
        log.warning("provider.health_changed", provider=scope, now=what)
    if happened:
        publish.hint(publish.OVERVIEW, publish.QUEUES)
    return happened


def force(scope: str, state: str) -> None:
    """A person's word: `open` lets nothing through, `closed` everything, `auto` leaves it to the breaker.

    `closed` also ends the wait that the provider has asked for; what it asks for from then on is kept to.
    """
    if state not in FORCED:
        raise ValueError(f"a breaker can be forced {', '.join(FORCED)}")
    client, key = redis_store.client, key_of(scope)
    seconds, micros = client.time()
    # Whatever happens from here on, it is told; where Redis did not answer, nothing was
    with transaction():
        audit.write(f"breaker.{_DONE[state]}", scope)
    if state == "auto":
        client.hdel(key, "forced", "forced_at", "forced_by")
        client.expire(key, KEPT_S)
    else:
        since = seconds * 1000 + micros // 1000
        with client.pipeline() as pipe:
            pipe.hset(key, mapping={"forced": state, "forced_at": since, "forced_by": audit.actor()})
            pipe.persist(key)  # and reports in the meantime do not delete it
            if state == "closed":
                pipe.hdel(key, "blocked_until")
            pipe.execute()
    publish.hint(publish.OVERVIEW, publish.QUEUES)


def forget(scope: str) -> None:
    """For a removed account: its breaker, forced or not, must not apply to the next account of its name."""
    try:
        redis_store.client.delete(key_of(scope))
    except redis.RedisError as error:
        log.warning("health.redis_away", error=type(error).__name__)
        return
    publish.hint(publish.OVERVIEW, publish.QUEUES)


@dataclass(frozen=True, slots=True)
class Breaker:
    """`state`: closed, open, half_open, forced_open or forced_closed. `why` it opened: failing, refused (our settings)
    or invalid (too many dead addresses). `by`: who has forced it. `next_at`: when the next send is let through by
    itself; None: at once, or never.
    """

    state: str = CLOSED
    since: datetime | None = None
    why: str | None = None
    by: str | None = None
    next_at: datetime | None = None


def states() -> dict[str, str]:
    """scope → the state of its breaker, for every scope that has been used lately."""
    return {scope: breaker.state for scope, breaker in breakers().items()}


def breakers() -> dict[str, Breaker]:
    """The breaker of every scope that has been used lately. Raises redis.RedisError."""
    client = redis_store.client
    keys = sorted(client.scan_iter(PREFIX + "*", count=500))
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for key in keys:
            pipe.hmget(key, *_FIELDS)
        (seconds, micros), *rows = pipe.execute()
    now_ms = seconds * 1000 + micros // 1000
    return {
        key.decode().removeprefix(PREFIX): _breaker(
            {name: value.decode() for name, value in zip(_FIELDS, row, strict=True) if value is not None}, now_ms
        )
        for key, row in zip(keys, rows, strict=True)
    }


def _breaker(row: Mapping[str, str], now_ms: int) -> Breaker:
    if "forced" in row:
        return Breaker(f"forced_{row['forced']}", _moment(row.get("forced_at")), by=row.get("forced_by"))
    blocked = float(row.get("blocked_until") or 0)
    if not float(row.get("trips") or 0):
        return Breaker(next_at=_moment(row["blocked_until"]) if blocked > now_ms else None)
    opened, why = _moment(row.get("opened_at")), row.get("why")
    if float(row.get("open_until") or 0) <= now_ms:
        return Breaker(HALF_OPEN, opened, why)
    return Breaker(OPEN, opened, why, next_at=_moment(str(max(float(row["open_until"]), blocked))))


def _moment(milliseconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC) if milliseconds else None
