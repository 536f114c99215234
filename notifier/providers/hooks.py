"""How the hooks of provider accounts fare: calls that were refused, could not be read, or came to the wrong URL, by
account and day. Counted in Redis, since nothing that a stranger sends is written to the database.

Written by `api.hooks`; read by `doctor` and the console.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import redis
import structlog

from notifier.ground.clock import now
from notifier.ground.extensions import redis_store

REFUSED, UNREADABLE, MISDIRECTED = "refused", "unreadable", "misdirected"
_DAYS = 2
_LONGEST = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Of today and yesterday. `last`: the sentence of the last one, for operators."""

    refused: int = 0
    unreadable: int = 0
    misdirected: int = 0
    last: str = ""


def note(account: str, outcome: str, sentence: str) -> None:
    """Without Redis it is only logged."""
    log.warning("hooks.not_taken", account=account, outcome=outcome, because=sentence[:_LONGEST])
    if redis_store.is_away():
        return
    key = _key(account, 0)
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            pipe.hincrby(key, outcome, 1)
            pipe.hset(key, "last", sentence[:_LONGEST])
            pipe.expire(key, timedelta(days=_DAYS + 1))
            pipe.execute()
    except redis.RedisError:
        return


def trouble(accounts: Collection[str]) -> dict[str, Trouble]:
    """By account, for all of them. Nothing is known without Redis: raises RedisError."""
    names = list(accounts)
    with redis_store.client.pipeline(transaction=False) as pipe:
        for account in names:
            for day in range(_DAYS):
                pipe.hgetall(_key(account, day))
        days = pipe.execute()
    return {account: _sum(days[place * _DAYS : (place + 1) * _DAYS]) for place, account in enumerate(names)}


def _sum(days: list[dict[bytes, bytes]]) -> Trouble:
    counts = {name: sum(int(day.get(name.encode(), 0)) for day in days) for name in (REFUSED, UNREADABLE, MISDIRECTED)}
    return Trouble(**counts, last=next((day[b"last"].decode() for day in days if b"last" in day), ""))


def _key(account: str, days_ago: int) -> str:
    return f"notifier:hooks:{account}:{(now() - timedelta(days=days_ago)):%Y-%m-%d}"
