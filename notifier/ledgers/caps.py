"""Counts notifications for the caps, and says which channels of a notification are over one of their caps
(`core.limits`).

`planning.decide` calls it for a whole batch: one Lua call, in which Redis checks one notification after another, so two
senders at the limit never both pass. Each channel counts for the time it is due. It is over a cap if any window around
that time is full, including later deliveries. A dry run only reads.

`moves` calls `recount` for deliveries that end before they have gone out, and for those that are brought back; if a
transaction is rolled back, all its counts are given back. A delivery that waits again after it was counted (a retry,
quiet hours, an outage) keeps its first time.

After a FLUSHALL the counts are rebuilt from the database, one query per batch, until everything planned before is a
day old. (Deliveries that a mute has delayed by more than a day are missed.) While Redis is down everything passes
uncounted: a cap prevents too many messages, and losing one that somebody waits for is worse. If a process is killed
between counting and committing, whoever expands that submission again counts the same; what was submitted by a call
that nobody repeats, and what was not recounted, counts until a day after the deliveries were due.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import redis
import structlog

from notifier.core.decisions import Plan
from notifier.core.facts import Facts
from notifier.core.limits import LIMITED, Limit, limits_of
from notifier.core.preferences import EVERY_CHANNEL
from notifier.core.record import record
from notifier.ground import metrics
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, once_committed, undone_by
from notifier.ground.extensions import db, redis_store
from notifier.ledgers.caps_in_database import ask_until, counts_of, tell
from notifier.ledgers.caps_in_redis import ASKED_UNTIL, COUNT, KEPT_MS, RECOUNT, CapSet, key_of, member_of, ms_of
from notifier.signals.queueing import unchecked

_TRIES = 3  # Redis may be flushed between two questions

log = structlog.get_logger()


@record
class Planned:
    """A person's notification of a submission, and what is planned for it so far."""

    submission_id: UUID
    is_test: bool  # those of a test key are counted apart
    facts: Facts
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Question:
    index: int
    planned: Planned
    due: Mapping[str, int]  # channel → when (ms); 0: at once
    limits: tuple[Limit, ...]

    @property
    def set(self) -> CapSet:
        return self.planned.is_test, self.planned.facts.type.category, self.planned.facts.user_id

    @property
    def as_json(self) -> list[Any]:
        limits = [(limit.scope, limit.window_s * 1000, limit.maximum) for limit in self.limits]
        return [self.planned.submission_id.hex, list(self.due.items()), limits]


def count(planned: Sequence[Planned], now: datetime, *, is_rehearsal: bool) -> dict[int, Mapping[str, Limit]]:
    """Counts those that have a route, in order. → for each (by its index) that is over a cap, the channels concerned
    and the cap.

    Inside the caller's transaction; without anything that a cap concerns it asks nobody.
    """
    limited = ((index, one) for index, one in enumerate(planned) if one.facts.is_limited and one.plan.routes)
    questions = [question for index, one in limited if (question := _question(index, one)).limits]
    if not questions:
        return {}
    if redis_store.is_away():
        unchecked("caps")
        return {}
    try:
        answers = _ask(questions, now, is_rehearsal)
    except redis.RedisError as error:
        log.warning("caps.redis_away", error=type(error).__name__)
        unchecked("caps")
        return {}
    over = [
        {channel: question.limits[number - 1] for channel, number in answer.items()}
        for question, answer in zip(questions, answers, strict=True)
    ]
    if not is_rehearsal:
        counted = [(one, one.due.keys() - beyond.keys()) for one, beyond in zip(questions, over, strict=True)]
        metrics.limited.labels("caps").inc(sum(map(bool, over)))
        undone_by(partial(_give_back, [(one, channels) for one, channels in counted if channels]))
    return {question.index: channels for question, channels in zip(questions, over, strict=True) if channels}


def _question(index: int, one: Planned) -> _Question:
    due: dict[str, int] = {}
    for route in one.plan.routes:
        at = ms_of(route.due_at) if route.due_at else 0
        due[route.channel] = min(at, due.get(route.channel, at))
    category = one.facts.type.category
    limits = limits_of(category, one.facts.preferences.caps.get(category, {}), current_settings().caps)
    concerned = tuple(limit for limit in limits if limit.scope == EVERY_CHANNEL or limit.scope in due)
    return _Question(index, one, due, concerned)


def _ask(questions: Sequence[_Question], now: datetime, is_rehearsal: bool) -> Sequence[Mapping[str, int]]:
    """One round trip, and two more when the database has to be asked first. Raises redis.RedisError."""
    sets = list(dict.fromkeys(question.set for question in questions))
    numbers = {set_: number for number, set_ in enumerate(sets, 2)}
    asked = json.dumps([[numbers[question.set], *question.as_json] for question in questions])
    told: dict[int, list[tuple[int, str]]] = {}
    asked_until = 0
    for _ in range(_TRIES):
        keys = [ASKED_UNTIL, *map(key_of, sets)]
        rest = (int(is_rehearsal), asked, json.dumps(told), asked_until)
        answer = json.loads(redis_store.client.eval(COUNT, len(keys), *keys, KEPT_MS, *rest))
        if "over" in answer:
            return list(answer["over"])
        told |= tell({sets[number - 2]: number for number in answer["unknown"]}, now)
        asked_until = ask_until(now) if answer["is_new"] else asked_until
    raise redis.RedisError("flushed again and again")


def recount(notification_ids: Iterable[UUID]) -> None:
    """For code that moves deliveries of these notifications to or from the statuses that do not count
    (`lifecycle.LEFT_OUT`).

    Inside its transaction. After the commit their counts are set to what the database says: one statement for a whole
    transaction, and one round trip if a cap concerns any of them. A channel with two addresses gives nothing back when
    one of them drops out.
    """
    once_committed(_recount, notification_ids)


def _recount(notification_ids: Collection[UUID]) -> None:
    if redis_store.is_away():
        return
    try:
        with db.engine.connect() as connection:
            counted = counts_of(connection, notification_ids)
        if counted:
            keys, members = map(key_of, counted), json.dumps(list(counted.values()))
            redis_store.client.eval(RECOUNT, len(counted), *keys, KEPT_MS, members)
    except (redis.RedisError, *UNAVAILABLE) as error:
        log.warning("caps.not_recounted", error=type(error).__name__, notifications=len(notification_ids))


def forget(user_id: str) -> None:
    """Deletes the counts of an erased person. After that transaction; without Redis they expire."""
    if redis_store.is_away():
        return
    keys = [key_of((is_test, category, user_id)) for is_test in (False, True) for category in LIMITED]
    try:
        redis_store.client.delete(*keys)
    except redis.RedisError as error:
        log.warning("caps.not_forgotten", error=type(error).__name__)


def _give_back(counted: Sequence[tuple[_Question, Collection[str]]]) -> None:
    """After the transaction has come to nothing."""
    if not counted or redis_store.is_away():
        return
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for question, channels in counted:
                members = (member_of(question.planned.submission_id, channel) for channel in channels)
                pipe.zrem(key_of(question.set), *members)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("caps.not_given_back", error=type(error).__name__, notifications=len(counted))
