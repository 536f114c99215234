"""How the hooks of provider accounts fare: when a provider last told something, and which of its calls were not taken.

Kept in Redis by account, since nothing that a stranger sends is written to the database; it may be lost. Written by the
hooks' door, read by the console and `doctor`.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import redis
import structlog
from flask import current_app

from notifier.ground.clock import now
from notifier.ground.extensions import redis_store

Outcome = Literal["refused", "unreadable", "misdirected"]

_KEPT = timedelta(days=90)
_DAY = timedelta(days=1)
_LONGEST = 200
_WRITTEN_EVERY_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Calls that were not taken: how many in the last 24 hours, and when and why the last one was not (also if that was
    longer ago).
    """

    count: int = 0
    last_at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class HookHealth:
    """`event_at`, `kinds`: the last call that told something, and what. `refused`: calls that could not be shown to be
    the provider's; `unreadable`: those that are not what its documents describe; `misdirected`: those of a hook that
    was set up for another account or purpose.
    """

    event_at: datetime | None = None
    kinds: tuple[str, ...] = ()
    refused: NotTaken = NotTaken()
    unreadable: NotTaken = NotTaken()
    misdirected: NotTaken = NotTaken()

    @property
    def not_taken(self) -> int:
        """In the last 24 hours."""
        return self.refused.count + self.unreadable.count + self.misdirected.count


def note_events(account: str, kinds: Collection[str], at: datetime) -> None:
    """A call was taken at `at`, and told these kinds of events. Each process writes at most once a second for an
    account. Without Redis nothing is kept.
    """
    written: dict[str, float] = current_app.extensions.setdefault("hook_health", {})
    due = written.get(account, float("-inf")) + _WRITTEN_EVERY_S
    if not kinds or time.monotonic() < due or redis_store.is_away():
        return
    written[account] = time.monotonic()
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            pipe.hset(_key(account), mapping={"event_at": at.timestamp(), "kinds": ",".join(sorted(set(kinds)))})
            pipe.expire(_key(account), _KEPT)
            pipe.execute()
    except redis.RedisError:
        return


def note_refused(account: str, why: str, outcome: Outcome) -> None:
    """A call was not taken. `why`: a sentence for operators, without secrets. Without Redis it is only logged."""
    at, why = now(), why[:_LONGEST]
    log.warning("hooks.not_taken", account=account, outcome=outcome, because=why)
    if redis_store.is_away():
        return
    day = _day_key(account, at)
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            pipe.hset(_key(account), mapping={f"{outcome}_at": at.timestamp(), f"{outcome}_why": why})
            pipe.expire(_key(account), _KEPT)
            pipe.hincrby(day, f"{outcome}:{at.hour}", 1)
            pipe.expire(day, 2 * _DAY)
            pipe.execute()
    except redis.RedisError:
        return


def read(accounts: Sequence[str]) -> dict[str, HookHealth]:
    """By account, for all of them; one round trip. Raises redis.RedisError: nothing is known then."""
    at = now()
    with redis_store.client.pipeline(transaction=False) as pipe:
        for account in accounts:
            pipe.hgetall(_key(account))
            pipe.hgetall(_day_key(account, at))
            pipe.hgetall(_day_key(account, at - _DAY))
        answers = iter([_text(answer) for answer in pipe.execute()])
    return {
        account: _health(last, today, yesterday, at.hour)
        for account, last, today, yesterday in zip(accounts, answers, answers, answers, strict=True)
    }


def forget(account: str) -> None:
    """For a removed account: the next one of its name starts anew. Without Redis it is left."""
    at = now()
    try:
        redis_store.client.delete(_key(account), _day_key(account, at), _day_key(account, at - _DAY))
    except redis.RedisError as error:
        log.warning("hooks.redis_away", error=type(error).__name__)


def _health(last: dict[str, str], today: dict[str, str], yesterday: dict[str, str], hour: int) -> HookHealth:
    def not_taken(outcome: Outcome) -> NotTaken:
        count = sum(
            int(number)
            for counted, hours in ((today, range(hour + 1)), (yesterday, range(hour + 1, 24)))
            for name, number in counted.items()
            if name.partition(":")[0] == outcome and int(name.partition(":")[2]) in hours
        )
        return NotTaken(count, _moment(last.get(f"{outcome}_at")), last.get(f"{outcome}_why", ""))

    kinds = tuple(last["kinds"].split(",")) if last.get("kinds") else ()
    return HookHealth(
        _moment(last.get("event_at")), kinds, not_taken("refused"), not_taken("unreadable"), not_taken("misdirected")
    )


def _moment(seconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(float(seconds), UTC) if seconds else None


def _text(answer: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode("utf-8", "replace") for name, value in answer.items()}


def _key(account: str) -> str:
    return f"notifier:hook:{account}"


def _day_key(account: str, at: datetime) -> str:
    return f"notifier:hook:{account}:{at:%Y-%m-%d}"
