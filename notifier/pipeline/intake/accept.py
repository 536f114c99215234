"""The first stage: submissions in, answers out, everything of a batch stored in one transaction (T1).

Called by `group_commit` (single requests that arrive together), by bulk calls, by `own`, by `schedules` and by the
demo. `judge` checks each item; a bad item never affects the others. User-written schemas and templates run before T1.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError

from notifier.core.errors import Rejected
from notifier.ground import logs, shapes
from notifier.ground.clock import now as clock_now
from notifier.ground.database import (
    DEADLOCK_DETECTED,
    LOCK_NOT_AVAILABLE,
    UNAVAILABLE,
    UNAVAILABLE_RETRY_S,
    sqlstate,
    transaction,
)
from notifier.ground.extensions import redis_store
from notifier.ground.many_rows import insert_rows
from notifier.ledgers import audit, flood
from notifier.ledgers.flood import Trigger
from notifier.models import IdempotencyKey
from notifier.models import Submission as SubmissionRow
from notifier.people.person import Person, load_people
from notifier.pipeline.intake.ahead import Looked, Prepared, look, named, prepare
from notifier.pipeline.intake.idempotency_keys import body_digest, in_progress
from notifier.pipeline.intake.item import Accepted, Item, Judged, Work, works_in
from notifier.pipeline.intake.judge import judge
from notifier.pipeline.intake.recipients import keep_people, targets_of
from notifier.pipeline.intake.schema_check import Outdated
from notifier.pipeline.planning.beforehand import Beforehand
from notifier.pipeline.planning.store import Stored, announce, store
from notifier.providers import accounts as providers
from notifier.signals import queueing

EXPAND_GRACE = timedelta(seconds=10)
_TRIES = 3

log = structlog.get_logger()


class _Overtaken(Exception):
    """Another process changed an event type, or erased or created a person, between two of our queries; the batch is
    decided again with the new state.
    """


@dataclass(frozen=True, slots=True)
class Committed:
    """`answers`: one for each item, in order. `following`: what comes after the commit."""

    answers: list[Accepted | Rejected]
    following: Sequence[Callable[[], None]] = ()

    def announce(self) -> None:
        """Rings, publishes and writes the log, with no transaction open. Whoever dies before it loses nothing."""
        for follow in self.following:
            follow()


def accept(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    """One answer for each item, in order. Commits, then rings and publishes. Raises only when the database is away."""
    committed = commit(prepare(batch))
    committed.announce()
    return committed.answers


def commit(prepared: Prepared) -> Committed:
    """`accept` without what comes before its transaction, and after it."""
    try:
        committed = _commit(prepared.batch, prepared.looked)
    except Exception as error:
        for span in prepared.spans:
            span.end(error=type(error).__name__)
        raise
    if prepared.spans:
        for item, span, answer in zip(prepared.batch, prepared.spans, committed.answers, strict=True):
            if isinstance(answer, Rejected):
                span.end(error=answer.code)
            else:
                span.end(submission=answer.answer["id"], type=item.submission.type, replayed=answer.replayed)
    return committed


def _commit(batch: Sequence[Item], looked: Looked | None) -> Committed:
    """If another process was faster (it stored one of our idempotency keys, erased somebody, or won a deadlock), the
    batch is decided again. If that fails too, the items are tried one by one.
    """
    if not batch:
        return Committed([])
    providers.refresh()
    flooded = flood.over_limit(_triggers(batch))
    try:
        return _store_at_last(batch, looked, flooded)
    except Exception as error:
        flood.give_back(_triggers(batch))  # nothing is stored: whoever tries again is counted again
        state, is_away = sqlstate(error), isinstance(error, UNAVAILABLE)
        if is_away and state not in (DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE):
            raise
        if len(batch) > 1:
            log.warning("accept.batch_failed", items=len(batch), exc_info=error)
            return _one_by_one(batch)
        if state == LOCK_NOT_AVAILABLE:
            return Committed([in_progress()])
        raise


def _triggers(batch: Sequence[Item]) -> list[Trigger]:
    return [(recipient.id, item.submission.type) for item in batch for recipient in item.submission.recipients]


def _store_at_last(batch: Sequence[Item], looked: Looked | None, flooded: Collection[Trigger]) -> Committed:
    """Tries again what somebody else's work has overtaken."""
    redis_store.look()
    for tries_left in reversed(range(_TRIES)):
        try:
            if looked is None:
                looked = look(batch)
            return _store_all(batch, looked, flooded, is_last=not tries_left)
        except (IntegrityError, Outdated, _Overtaken):
            if not tries_left:
                raise
        except UNAVAILABLE as error:
            if sqlstate(error) != DEADLOCK_DETECTED or not tries_left:
                raise
        looked = None
    raise AssertionError("the last try has returned or raised")


def _one_by_one(batch: Sequence[Item]) -> Committed:
    answers: list[Accepted | Rejected] = []
    following: list[Callable[[], None]] = []

    def take(items: Sequence[Item]) -> list[Accepted | Rejected]:
        committed = _commit(items, None)
        following.extend(committed.following)
        return committed.answers

    for item in batch:
        answers += _accept_part([item], take)
    return Committed(answers, following)


def accept_one(item: Item) -> Accepted:
    """As `accept`. Raises Rejected, too."""
    (answer,) = accept([item])
    if isinstance(answer, Rejected):
        raise answer
    return answer


def accept_part(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    """As `accept`, after other items of the call were answered: an error becomes the answer of these items."""
    return _accept_part(batch, accept)


def _accept_part(
    batch: Sequence[Item], how: Callable[[Sequence[Item]], list[Accepted | Rejected]]
) -> list[Accepted | Rejected]:
    try:
        return how(batch)
    except UNAVAILABLE:
        return [
            Rejected(
                "unavailable",
                "the database cannot be reached; this one was not stored",
                retry_after=UNAVAILABLE_RETRY_S,
            )
            for _ in batch
        ]
    except Exception:
        log.exception("accept.part_failed", items=len(batch))
        return [Rejected("internal_error", "this one could not be stored") for _ in batch]


def _store_all(batch: Sequence[Item], looked: Looked, flooded: Collection[Trigger], *, is_last: bool) -> Committed:
    now = clock_now()
    with transaction():
        judged, known = judge(batch, now, looked.checked)
        fresh, overtaken = keep_people([work for work in works_in(judged) if work.repeats is None])
        if overtaken:
            raise _Overtaken
        changed = {recipient.id for work in fresh for recipient in work.changed}
        unchanged = {user_id: person for user_id, person in known.items() if user_id not in changed}
        stored, answers = _store(fresh, unchanged, flooded, looked.words, now)
        if looked.words.is_surprised and not is_last:
            raise _Overtaken
        _store_keys(fresh, answers, now)
        audit.write_each(_noted(work.item.noted, answers[work.submission_id]) for work in fresh if work.item.noted)

    stored_now = {id(work.item) for work in fresh}
    flood.give_back(_triggers([item for item in batch if id(item) not in stored_now]))

    def follow() -> None:
        announce(stored)
        queueing.ring_expand(work.submission_id for work in fresh if work.is_expanded_later)
        with logs.at_once():
            for item, one in zip(batch, judged, strict=True):
                _say(item, one, answers)

    return Committed([_answered(one, answers) if isinstance(one, Work) else one for one in judged], [follow])


def _say(item: Item, one: Judged, answers: Mapping[UUID, dict[str, Any]]) -> None:
    """Most are for one person: such a line names the notification, too."""
    by = named(item)
    if isinstance(one, Rejected):
        log.info("submission.rejected", **by, code=one.code)
        return
    answer = _answered(one, answers) if isinstance(one, Work) else one
    if answer.replayed:
        log.info("submission.repeated", **by, submission=answer.answer["id"])
        return
    notifications = answer.answer["notifications"] or []
    log.info(
        "submission.accepted",
        **by,
        submission=answer.answer["id"],
        notification=notifications[0]["id"] if len(notifications) == 1 else None,
        type=item.submission.type,
        recipients=len(item.submission.recipients),
        deliveries=sum(len(notification["deliveries"]) for notification in notifications),
    )


def _answered(work: Work, answers: Mapping[UUID, dict[str, Any]]) -> Accepted:
    return Accepted(answers[(work.repeats or work).submission_id], replayed=work.repeats is not None)


def _noted(entry: audit.Entry, answer: Mapping[str, Any]) -> audit.Entry:
    [notification] = answer["notifications"]
    return entry._replace(after={**(entry.after or {}), "notification": notification["id"]})


# ---- storing --------------------------------------------------------------------------------------------------------


def _store(
    works: Sequence[Work], known: Mapping[str, Person], flooded: Collection[Trigger], words: Beforehand, now: datetime
) -> tuple[Stored, dict[UUID, dict[str, Any]]]:
    """→ what was stored, and the answer to each submission."""
    if not works:
        return Stored(), {}
    insert_rows(SubmissionRow.__table__, [_submission_row(work, flooded, now) for work in works])
    at_once = [work for work in works if not work.is_expanded_later]
    wanted = {recipient.id for work in at_once for recipient in work.recipients}
    persons = {**known, **load_people(wanted - known.keys())}
    if not persons.keys() >= wanted:
        raise _Overtaken
    stored = store(targets_of(at_once, persons, flooded), now, words)
    summaries = iter(stored.summaries())
    answers = {
        work.submission_id: shapes.submission(
            work.submission_id,
            "accepted",
            None if work.is_expanded_later else [next(summaries) for _ in work.recipients],
        )
        for work in works
    }
    return stored, answers


def _submission_row(work: Work, flooded: Collection[Trigger], now: datetime) -> dict[str, Any]:
    later = work.is_expanded_later
    return {
        "id": work.submission_id,
        "producer_id": work.item.caller.producer_id,
        "type": work.order.type.key,
        "status": "expanding" if later else "expanded",
        "is_test": work.item.caller.is_test,
        "recipients": len(work.recipients),
        "expanded": 0 if later else len(work.recipients),
        "body": _body(work, flooded) if later else None,
        "request_id": work.item.caller.request_id,
        "idempotency_key": work.key[1] if work.key else None,
        # Nobody could read a trace of many thousand sends
        "traceparent": None if later else work.item.traceparent,
        "wake_at": now + EXPAND_GRACE if later else None,
        "created_at": now,
    }


def _body(work: Work, flooded: Collection[Trigger]) -> dict[str, Any]:
    """The data with which `expand` continues without judging anything again."""
    order = work.order
    return {
        "recipients": [recipient.id for recipient in work.recipients],
        "given": {user_id: dict(values) for user_id, values in work.given.items()},
        "moved": {user_id: sorted(channels) for user_id, channels in work.moved.items()},
        "flooded": [recipient.id for recipient in work.recipients if (recipient.id, order.type.key) in flooded],
        "key_id": key_id.hex if (key_id := work.item.caller.key_id) else None,
        **order.pack(),
    }


def _store_keys(works: Sequence[Work], answers: Mapping[UUID, dict[str, Any]], now: datetime) -> None:
    rows = [
        {
            "producer_id": work.key[0],
            "key": work.key[1],
            "is_test": work.key[2],
            "body_digest": body_digest(work.item),
            "submission_id": work.submission_id,
            "answer": answers[work.submission_id],
            "created_at": now,
        }
        for work in works
        if work.key
    ]
    rows.sort(key=lambda row: (str(row["producer_id"]), row["key"]))  # two processes lock in one order
    insert_rows(IdempotencyKey.__table__, rows)
