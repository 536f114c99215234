"""The first stage: submissions in, answers out, everything stored in one transaction (T1) for the whole batch.

Called by `group_commit` (single requests that came at the same time), by the bulk call, and alone.
A bad item gets its own `Rejected`; it never harms its neighbours.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError

from notifier import channels, queueing, shapes
from notifier.clock import now as clock_now
from notifier.core.errors import Fault, Rejected
from notifier.core.explain import sentence
from notifier.core.plan import plan
from notifier.core.submission import InlineRecipient, Submission, check_priority, check_send_at
from notifier.database import DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, UNAVAILABLE, UNAVAILABLE_RETRY_S, sqlstate, transaction
from notifier.extensions import db
from notifier.ids import new_id
from notifier.models import EventType, IdempotencyKey
from notifier.models import Submission as SubmissionRow
from notifier.pipeline import flood, people, providers
from notifier.pipeline.decide import Target
from notifier.pipeline.facts import Order, admin_user_ids, load_people, load_template_ids, load_types, planner_facts
from notifier.pipeline.flood import Trigger
from notifier.pipeline.schemas import data_faults
from notifier.pipeline.store import Stored, announce, store
from notifier.pipeline.words import Wanted, put_into_words

Key = tuple[UUID, str, bool]  # producer, idempotency key, is it a test key's

LONGEST_WAIT_MS = 5_000  # for the first request with an idempotency key, before the second one is told to come back
INLINE_LIMIT = 100  # more recipients than this are expanded in the background
EXPAND_GRACE = timedelta(seconds=10)
_TRIES = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submits: the producer and what its key allows. `types` None: all of them. `is_internal`: the product itself."""

    producer_id: UUID | None
    is_test: bool
    may_be_urgent: bool
    types: frozenset[str] | None
    request_id: str
    is_internal: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    caller: Caller
    submission: Submission


@dataclass(frozen=True, slots=True)
class Accepted:
    """`answer` is the body for the producer (API.md, POST /notifications); `replayed`: it is the first one's answer again."""

    answer: dict[str, Any]
    replayed: bool = False


@dataclass(slots=True)
class _Work:
    """One item on its way through the batch. `key` is (producer, idempotency key)."""

    item: Item
    order: Order
    recipients: tuple[InlineRecipient, ...]
    key: Key | None
    submission_id: UUID
    repeats: "_Work | None" = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def is_expanded_later(self) -> bool:
        return len(self.recipients) > INLINE_LIMIT


class _Overtaken(Exception):
    """Somebody was erased between two of our questions; the batch is decided anew, knowing it."""


def accept(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    """One answer for each item, in order. Commits, then rings and publishes. Raises only when the database is away.

    Where another process was faster (it stored one of our idempotency keys, erased somebody, or won a
    deadlock), the batch is decided anew. What still fails is tried item by item.
    """
    if not batch:
        return []
    providers.refresh()
    flooded = flood.over_limit([(recipient.id, item.submission.type) for item in batch for recipient in item.submission.recipients])
    for _ in range(_TRIES):
        try:
            return _accept(batch, flooded)
        except (IntegrityError, _Overtaken) as error:
            failure: Exception = error
        except UNAVAILABLE as error:
            failure = error
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                break
            if sqlstate(error) != DEADLOCK_DETECTED:
                raise
        except Exception as error:
            failure = error
            break
    if len(batch) > 1:
        log.warning("accept.batch_failed", items=len(batch), exc_info=failure)
        return [answer for item in batch for answer in accept_part([item])]
    if sqlstate(failure) == LOCK_NOT_AVAILABLE:
        return [Rejected("idempotency_in_progress", "a request with this idempotency key is still in progress", retry_after=1)]
    raise failure


def accept_part(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    """As `accept`, where others have been answered already: what it would raise becomes the answer of these."""
    try:
        return accept(batch)
    except UNAVAILABLE:
        return [Rejected("unavailable", "the database cannot be reached; this one was not stored", retry_after=UNAVAILABLE_RETRY_S) for _ in batch]
    except Exception:
        log.exception("accept.part_failed", items=len(batch))
        return [Rejected("internal_error", "this one could not be stored") for _ in batch]


def _accept(batch: Sequence[Item], flooded: Collection[Trigger]) -> list[Accepted | Rejected]:
    now = clock_now()
    with transaction():
        results = _check(batch, now)
        fresh = [work for _, work in _indexed(results) if work.repeats is None]
        people.upsert(_changed_people(fresh))
        stored = _store(fresh, flooded, now)
        _store_keys(fresh, now)
    announce(stored)
    queueing.ring_expand(work.submission_id for work in fresh if work.is_expanded_later)
    for index, work in _indexed(results):
        results[index] = Accepted((work.repeats or work).answer, replayed=work.repeats is not None)
    log.info("submissions.accepted", items=len(batch), stored=len(fresh), deliveries=len(stored.doorbells))
    return results


def _changed_people(works: Sequence[_Work]) -> list[InlineRecipient]:
    """The recipients to be created or changed. A test key may create people, and changes nothing about those there are."""
    tested = {recipient.id for work in works if work.item.caller.is_test for recipient in work.recipients if recipient.changes}
    kept = people.known_ids(tested) if tested else set()
    return [r for work in works for r in work.recipients if r.changes and not (work.item.caller.is_test and r.id in kept)]


def _indexed(results: list[Any]) -> list[tuple[int, _Work]]:
    return [(index, result) for index, result in enumerate(results) if isinstance(result, _Work)]


# ---- checking -------------------------------------------------------------------------------------------------------


def _check(batch: Sequence[Item], now: datetime) -> list[Any]:
    """Judges every item: an answer (`Accepted`, when it was given before, or `Rejected`) or a `_Work` each. A constant number of queries.

    A replay gets the first answer whatever has changed since: its time may have passed, its recipient been erased.
    """
    types = load_types(item.submission.type for item in batch)
    templates = load_template_ids(item.submission.template or item.submission.type for item in batch)
    admins = admin_user_ids() if any(t.to_admins for t in types.values()) else []
    first_answers = _first_answers(batch)
    results = [first_answers.get(i) or _judge(item, types.get(item.submission.type), templates, admins, now) for i, item in enumerate(batch)]
    _compare(batch, results)
    return results


def _first_answers(batch: Sequence[Item]) -> dict[int, Accepted | Rejected]:
    """The answers to the items whose idempotency key is stored already, by index."""
    keys = {index: key for index, item in enumerate(batch) if (key := _key(item))}
    if not keys:
        return {}
    _bound_the_wait()
    key_columns = (IdempotencyKey.producer_id, IdempotencyKey.key, IdempotencyKey.is_test)
    statement = sa.select(*key_columns, IdempotencyKey.body_digest, IdempotencyKey.answer)
    found = db.session.execute(statement.where(sa.tuple_(*key_columns).in_(set(keys.values()))))
    stored = {(row.producer_id, row.key, row.is_test): row for row in found}
    return {
        index: Accepted(row.answer, replayed=True) if bytes(row.body_digest) == _body_digest(batch[index]) else _mismatch()
        for index, key in keys.items()
        if (row := stored.get(key))
    }


def _judge(item: Item, type_: EventType | None, templates: dict[str, UUID], admins: list[str], now: datetime) -> _Work | Rejected:
    caller, submission = item.caller, item.submission
    if type_ is None or (type_.is_internal and not caller.is_internal):
        return _refused(Fault("/type", "unknown_type", f"there is no event type {submission.type!r}"), code="unknown_type")
    if caller.types is not None and type_.key not in caller.types:
        return Rejected("type_not_allowed", f"this key may not submit {type_.key!r}")
    faults = [
        *check_priority(submission.priority, type_priority=type_.priority, category=type_.category, may_be_urgent=caller.may_be_urgent),
        *check_send_at(submission.send_at, now),
        *(
            Fault(f"/channels/{i}", "unknown_channel", f"there is no channel {name!r}")
            for i, name in enumerate(submission.channels or ())
            if name not in channels.CHANNELS
        ),
        *data_faults(type_, submission.data),
    ]
    template_name = submission.template or submission.type
    if submission.template and template_name not in templates:
        faults.append(Fault("/template", "unknown_template", f"there is no published template {submission.template!r}"))
    for index, recipient in enumerate(submission.recipients):
        faults += people.check(recipient.changes, f"/recipients/{index}")
    if faults:
        return _refused(*faults)
    starts_at = max(now, submission.send_at) if submission.send_at else now
    order = Order(
        type=type_,
        priority=submission.priority or type_.priority,
        template_id=templates.get(template_name),
        requested=submission.channels,
        send_at=submission.send_at,
        expires_at=starts_at + timedelta(seconds=submission.expires_in),
        routing=submission.routing,
        address_id=submission.address_id,
    )
    recipients = tuple(InlineRecipient(user_id) for user_id in admins) if type_.to_admins else _once_each(submission.recipients)
    return _Work(item, order, recipients, _key(item), new_id())


def _refused(*faults: Fault, code: str = "validation_failed") -> Rejected:
    return Rejected(code, faults[0].message if len(faults) == 1 else f"{len(faults)} faults", faults)


def _once_each(recipients: Sequence[InlineRecipient]) -> tuple[InlineRecipient, ...]:
    """Somebody named twice gets one notification; later fields win."""
    merged: dict[str, InlineRecipient] = {}
    for recipient in recipients:
        seen = merged.get(recipient.id)
        merged[recipient.id] = replace(recipient, changes={**seen.changes, **recipient.changes}) if seen else recipient
    return tuple(merged.values())


def _compare(batch: Sequence[Item], results: list[Any]) -> None:
    """Looks at each item beside those before it: who has its idempotency key, and whom it may name.

    A recipient exists, is created by this item, or was by an earlier one of the batch.
    """
    named = {recipient.id for item in batch for recipient in item.submission.recipients if not recipient.changes}
    named |= {recipient.id for _, work in _indexed(results) for recipient in work.recipients if not recipient.changes}
    known = people.known_ids(named) if named else set()
    first: dict[Key, _Work] = {}
    for index, work in enumerate(results):
        if isinstance(work, Rejected) and work.faults:
            results[index] = _with_unknown_people(work, batch[index], known)
        if not isinstance(work, _Work):
            continue
        earlier = first.get(work.key) if work.key else None
        if earlier is not None:
            work.repeats = earlier
            if _body_digest(work.item) != _body_digest(earlier.item):
                results[index] = _mismatch()
            continue
        created = {recipient.id for recipient in work.recipients if recipient.changes}
        unknown = {recipient.id for recipient in work.recipients} - known - created
        if unknown:
            results[index] = _refused(*_unknown_people(work.item, unknown), code="unknown_user")
            continue
        known |= created
        if work.key:
            first[work.key] = work


def _unknown_people(item: Item, unknown: set[str]) -> list[Fault]:
    named = ((index, recipient.id) for index, recipient in enumerate(item.submission.recipients) if recipient.id in unknown)
    return [Fault(f"/recipients/{index}", "unknown_user", f"there is no user {user_id!r}") for index, user_id in named]


def _with_unknown_people(refused: Rejected, item: Item, known: set[str]) -> Rejected:
    """All that is wrong is named at once."""
    unknown = {recipient.id for recipient in item.submission.recipients if not recipient.changes} - known
    faults = _unknown_people(item, unknown)
    return _refused(*refused.faults, *faults, code=refused.code) if faults else refused


def _mismatch() -> Rejected:
    return Rejected("idempotency_mismatch", "this idempotency key was used with another body")


def _key(item: Item) -> Key | None:
    producer_id, given = item.caller.producer_id, item.submission.idempotency
    return (producer_id, given[0], item.caller.is_test) if producer_id and given else None


def _body_digest(item: Item) -> bytes:
    return bytes.fromhex(item.submission.idempotency[1]) if item.submission.idempotency else b""


def _bound_the_wait() -> None:
    # Another process may hold our key in an open transaction: PostgreSQL makes us wait for its end, for so long.
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text(f"SET LOCAL lock_timeout = '{LONGEST_WAIT_MS}ms'"))


# ---- storing --------------------------------------------------------------------------------------------------------


def _store(works: Sequence[_Work], flooded: Collection[Trigger], now: datetime) -> Stored:
    if not works:
        return Stored()
    db.session.execute(sa.insert(SubmissionRow.__table__), [_submission_row(work, flooded, now) for work in works])
    at_once = [work for work in works if not work.is_expanded_later]
    wanted = {recipient.id for work in at_once for recipient in work.recipients}
    persons = load_people(wanted)
    if persons.keys() != wanted:
        raise _Overtaken
    targets = [
        Target(
            submission_id=work.submission_id,
            producer_id=work.item.caller.producer_id,
            is_test=work.item.caller.is_test,
            order=work.order,
            person=persons[recipient.id],
            data=work.item.submission.data,
            collapse_key=work.item.submission.collapse_key,
            is_flooded=(recipient.id, work.order.type.key) in flooded,
        )
        for work in at_once
        for recipient in work.recipients
    ]
    stored = store(targets, now)
    summaries = iter(stored.summaries)
    for work in works:
        mine = None if work.is_expanded_later else [next(summaries) for _ in work.recipients]
        work.answer = shapes.submission(work.submission_id, "accepted", mine)
    return stored


def _submission_row(work: _Work, flooded: Collection[Trigger], now: datetime) -> dict[str, Any]:
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
        "wake_at": now + EXPAND_GRACE if later else None,
        "created_at": now,
    }


def _body(work: _Work, flooded: Collection[Trigger]) -> dict[str, Any]:
    """What `expand` needs to go on from here without judging anything again."""
    order = work.order
    return {
        "recipients": [recipient.id for recipient in work.recipients],
        "flooded": [recipient.id for recipient in work.recipients if (recipient.id, order.type.key) in flooded],
        "data": dict(work.item.submission.data),
        "channels": order.requested,
        "priority": order.priority,
        "routing": order.routing,
        "template_id": order.template_id.hex if order.template_id else None,
        "send_at": order.send_at.isoformat() if order.send_at else None,
        "expires_at": order.expires_at.isoformat(),
        "collapse_key": work.item.submission.collapse_key,
    }


def _store_keys(works: Sequence[_Work], now: datetime) -> None:
    rows = [
        {
            "producer_id": work.key[0],
            "key": work.key[1],
            "is_test": work.key[2],
            "body_digest": _body_digest(work.item),
            "submission_id": work.submission_id,
            "answer": work.answer,
            "created_at": now,
        }
        for work in works
        if work.key
    ]
    if not rows:
        return
    rows.sort(key=lambda row: (str(row["producer_id"]), row["key"]))  # two processes lock in one order
    db.session.execute(sa.insert(IdempotencyKey.__table__), rows)


# ---- dry run --------------------------------------------------------------------------------------------------------


class _NothingStored(Exception):
    """Rolls a dry run back."""


def dry_run(item: Item) -> dict[str, Any]:
    """What would happen, and why: the same checks, the same plan, the same words. Nothing is stored or sent."""
    now = clock_now()
    answer: dict[str, Any] = {}
    try:
        with transaction():
            results = _check([replace(item, submission=replace(item.submission, idempotency=None))], now)
            if isinstance(results[0], Rejected):
                raise results[0]
            work: _Work = results[0]
            people.upsert(_changed_people([work]))
            persons = load_people(recipient.id for recipient in work.recipients)
            answer = {"notifications": [_rehearse(work, persons[recipient.id], now) for recipient in work.recipients]}
            raise _NothingStored
    except _NothingStored:
        return answer


def _rehearse(work: _Work, person: Any, now: datetime) -> dict[str, Any]:
    decided = plan(planner_facts(work.order, person, channels.registry().facts(is_test=work.item.caller.is_test)), now)
    names = list(dict.fromkeys(route.channel for route in decided.routes))
    data = work.item.submission.data
    contents = put_into_words([Wanted(name, work.order.type, work.order.template_id, person, data) for name in names])
    rendered = {
        name: {"error": content}
        if isinstance(content, str)
        else {"subject": content.subject, "title": content.title, "text": content.body, "html": content.html, "action_url": content.action_url}
        for name, content in zip(names, contents, strict=True)
    }
    deliveries = [
        {
            "channel": decision.channel,
            "address": decision.address.masked if decision.address else None,
            "status": "skipped" if decision in decided.skips else "waiting" if decision.reason else "queued",
            "reason": decision.reason,
            "detail": dict(decision.detail),
            "due_at": decision.detail.get("until"),
        }
        for decision in decided.decisions
    ]
    trace = [{"rule": step.rule, "channel": step.channel, "outcome": step.outcome, "sentence": sentence(step)} for step in decided.trace]
    return {"user": person.id, "deliveries": deliveries, "rendered": rendered, "trace": trace}
