"""The first stage: submissions in, answers out, everything stored in one transaction (T1) for the whole batch.

Called by `group_commit` (single requests that came at the same time), by the bulk call, and alone.
A bad item gets its own `Rejected`; it never harms its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError, OperationalError

from notifier import channels, queueing, shapes
from notifier.clock import now as clock_now
from notifier.core.errors import Fault, Rejected
from notifier.core.plan import plan
from notifier.core.submission import InlineRecipient, Submission, check_priority, check_send_at
from notifier.database import transaction
from notifier.extensions import db
from notifier.ids import new_id
from notifier.models import EventType, IdempotencyKey
from notifier.models import Submission as SubmissionRow
from notifier.pipeline import people
from notifier.pipeline.facts import Order, admin_user_ids, load_people, load_template_ids, load_types, planner_facts
from notifier.pipeline.schemas import data_faults
from notifier.pipeline.store import Stored, Target, announce, store
from notifier.pipeline.words import Wanted, put_into_words

INLINE_LIMIT = 100  # more recipients than this are expanded in the background
EXPAND_GRACE = timedelta(seconds=10)
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE for lock_timeout

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submits: the producer and what its key allows. `types` None: all of them."""

    producer_id: UUID
    is_test: bool
    may_be_urgent: bool
    types: frozenset[str] | None
    request_id: str


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
    key: tuple[UUID, str] | None
    submission_id: UUID
    repeats: "_Work | None" = None
    answer: dict[str, Any] | None = None

    @property
    def is_expanded_later(self) -> bool:
        return len(self.recipients) > INLINE_LIMIT


class _LostRace(Exception):
    """Another process stored one of our idempotency keys first; the batch is decided anew, knowing it."""


def accept(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    """One answer for each item, in order. Commits, then rings and publishes. Raises only when the database is away."""
    if not batch:
        return []
    for _ in range(3):
        try:
            return _accept(batch)
        except _LostRace:
            continue
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            if len(batch) > 1:
                return [_accept_alone(item) for item in batch]
            break
        except Exception:
            if len(batch) == 1:
                raise
            log.exception("accept.batch_failed", items=len(batch))
            return [_accept_alone(item) for item in batch]
    return [Rejected("idempotency_in_progress", "a request with this idempotency key is still in progress", retry_after=1) for _ in batch]


def _accept_alone(item: Item) -> Accepted | Rejected:
    try:
        return accept([item])[0]
    except Exception:
        log.exception("accept.item_failed", request_id=item.caller.request_id)
        return Rejected("internal_error", "this one could not be stored")


def _accept(batch: Sequence[Item]) -> list[Accepted | Rejected]:
    now = clock_now()
    with transaction():
        results, works = _check(batch, now)
        fresh = [work for work in works if work.answer is None and work.repeats is None]
        people.upsert([recipient for work in fresh for recipient in work.recipients if recipient.changes])
        stored = _store(fresh, now)
        _store_keys(fresh, now)
    announce(stored)
    queueing.ring_expand(work.submission_id for work in fresh if work.is_expanded_later)
    for index, work in _indexed(results):
        answer = (work.repeats or work).answer
        results[index] = Accepted(answer or {}, replayed=work.repeats is not None or work not in fresh)
    log.info("submissions.accepted", items=len(batch), stored=len(fresh), deliveries=len(stored.doorbells))
    return results


def _indexed(results: list[Any]) -> list[tuple[int, _Work]]:
    return [(index, result) for index, result in enumerate(results) if isinstance(result, _Work)]


# ---- checking -------------------------------------------------------------------------------------------------------


def _check(batch: Sequence[Item], now: datetime) -> tuple[list[Any], list[_Work]]:
    """Judges every item: a `Rejected` or a `_Work` each. A constant number of queries."""
    types = load_types(item.submission.type for item in batch)
    templates = load_template_ids(item.submission.template or item.submission.type for item in batch)
    admins = admin_user_ids() if any(t.to_admins for t in types.values()) else []
    results: list[Any] = [_judge(item, types.get(item.submission.type), templates, admins, now) for item in batch]
    _refuse_unknown_people(results)
    works = [work for _, work in _indexed(results)]
    _recognise_repeats(results, works)
    return results, [work for _, work in _indexed(results)]


def _judge(item: Item, type_: EventType | None, templates: dict[str, UUID], admins: list[str], now: datetime) -> _Work | Rejected:
    caller, submission = item.caller, item.submission
    if type_ is None:
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
    )
    recipients = tuple(InlineRecipient(user_id) for user_id in admins) if type_.to_admins else _once_each(submission.recipients)
    key = (caller.producer_id, submission.idempotency[0]) if submission.idempotency else None
    return _Work(item, order, recipients, key, new_id())


def _refused(*faults: Fault, code: str = "validation_failed") -> Rejected:
    return Rejected(code, faults[0].message if len(faults) == 1 else f"{len(faults)} faults", faults)


def _once_each(recipients: Sequence[InlineRecipient]) -> tuple[InlineRecipient, ...]:
    """Somebody named twice gets one notification; later fields win."""
    merged: dict[str, InlineRecipient] = {}
    for recipient in recipients:
        seen = merged.get(recipient.id)
        merged[recipient.id] = replace(recipient, changes={**seen.changes, **recipient.changes}) if seen else recipient
    return tuple(merged.values())


def _refuse_unknown_people(results: list[Any]) -> None:
    """A recipient exists, is created by this item, or was by an earlier one of the batch."""
    named = {recipient.id for _, work in _indexed(results) for recipient in work.recipients if not recipient.changes}
    known = people.known_ids(named) if named else set()
    for index, work in _indexed(results):
        created = {recipient.id for recipient in work.recipients if recipient.changes}
        unknown = {recipient.id for recipient in work.recipients} - known - created
        if unknown:
            pointers = [(i, r.id) for i, r in enumerate(work.item.submission.recipients) if r.id in unknown]
            results[index] = _refused(
                *(Fault(f"/recipients/{i}", "unknown_user", f"there is no user {user_id!r}") for i, user_id in pointers), code="unknown_user"
            )
        else:
            known |= created


def _recognise_repeats(results: list[Any], works: list[_Work]) -> None:
    """Finds the items whose idempotency key is stored already or stands earlier in the batch."""
    keys = {work.key for work in works if work.key}
    if not keys:
        return
    _bound_the_wait()
    columns = (IdempotencyKey.producer_id, IdempotencyKey.key, IdempotencyKey.body_digest, IdempotencyKey.answer)
    found = db.session.execute(sa.select(*columns).where(sa.tuple_(IdempotencyKey.producer_id, IdempotencyKey.key).in_(keys)))
    stored = {(row.producer_id, row.key): row for row in found}
    first: dict[tuple[UUID, str], _Work] = {}
    for index, work in _indexed(results):
        if work.key is None:
            continue
        row, earlier = stored.get(work.key), first.setdefault(work.key, work)
        digest = bytes(row.body_digest).hex() if row else _body_digest(earlier)
        if digest != _body_digest(work):
            results[index] = Rejected("idempotency_mismatch", "this idempotency key was used with another body")
        elif row is not None:
            work.answer = row.answer
        elif earlier is not work:
            work.repeats = earlier


def _body_digest(work: _Work) -> str:
    return work.item.submission.idempotency[1] if work.item.submission.idempotency else ""


def _bound_the_wait() -> None:
    # Another process may hold our key in an open transaction: PostgreSQL makes us wait for its end, for 5 s at most.
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text("SET LOCAL lock_timeout = '5s'"))


# ---- storing --------------------------------------------------------------------------------------------------------


def _store(works: Sequence[_Work], now: datetime) -> Stored:
    if not works:
        return Stored()
    db.session.execute(sa.insert(SubmissionRow.__table__), [_submission_row(work, now) for work in works])
    at_once = [work for work in works if not work.is_expanded_later]
    persons = load_people(recipient.id for work in at_once for recipient in work.recipients)
    targets = [
        Target(
            submission_id=work.submission_id,
            producer_id=work.item.caller.producer_id,
            is_test=work.item.caller.is_test,
            order=work.order,
            person=persons[recipient.id],
            data=work.item.submission.data,
            collapse_key=work.item.submission.collapse_key,
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


def _submission_row(work: _Work, now: datetime) -> dict[str, Any]:
    later = work.is_expanded_later
    return {
        "id": work.submission_id,
        "producer_id": work.item.caller.producer_id,
        "type": work.order.type.key,
        "status": "expanding" if later else "expanded",
        "is_test": work.item.caller.is_test,
        "recipients": len(work.recipients),
        "expanded": 0 if later else len(work.recipients),
        "body": _body(work) if later else None,
        "request_id": work.item.caller.request_id,
        "wake_at": now + EXPAND_GRACE if later else None,
        "created_at": now,
    }


def _body(work: _Work) -> dict[str, Any]:
    """What `expand` needs to go on from here without judging anything again."""
    order = work.order
    return {
        "recipients": [recipient.id for recipient in work.recipients],
        "data": dict(work.item.submission.data),
        "channels": order.requested,
        "priority": order.priority,
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
            "body_digest": bytes.fromhex(_body_digest(work)),
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
    try:
        db.session.execute(sa.insert(IdempotencyKey.__table__), rows)
    except IntegrityError:
        raise _LostRace from None


# ---- dry run --------------------------------------------------------------------------------------------------------


class _NothingStored(Exception):
    """Rolls a dry run back."""


def dry_run(item: Item) -> dict[str, Any]:
    """What would happen, and why: the same checks, the same plan, the same words. Nothing is stored or sent."""
    now = clock_now()
    answer: dict[str, Any] = {}
    try:
        with transaction():
            results, _ = _check([replace(item, submission=replace(item.submission, idempotency=None))], now)
            if isinstance(results[0], Rejected):
                raise results[0]
            work: _Work = results[0]
            people.upsert([recipient for recipient in work.recipients if recipient.changes])
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
            "status": "skipped" if decision in decided.skips else "waiting" if decision.detail.get("until") else "queued",
            "reason": decision.reason,
            "detail": dict(decision.detail),
            "due_at": decision.detail.get("until"),
        }
        for decision in decided.decisions
    ]
    trace = [{"rule": step.rule, "channel": step.channel, "outcome": step.outcome, "sentence": step.sentence} for step in decided.trace]
    return {"user": person.id, "deliveries": deliveries, "rendered": rendered, "trace": trace}
