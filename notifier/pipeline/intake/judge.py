"""Judges submissions before anything is stored: whether each can be accepted, and for whom it is.

Called by `accept` and `dry_run`, inside their transaction, with the results of `check_against_schemas` from before it.
A bad item gets its own `Rejected` and never affects the others.
"""

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import sqlalchemy as sa

from notifier import channels
from notifier.catalogue.known import load_template_ids, load_types
from notifier.catalogue.schemas import Check, check_all
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import (
    OWN_TYPES,
    InlineRecipient,
    Submission,
    check_data,
    check_priority,
    check_routing,
    check_send_at,
    check_sequence,
)
from notifier.core.worlds import shown_id
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers.flood import Trigger
from notifier.models import EventType, IdempotencyKey
from notifier.people import profiles, staff
from notifier.people.person import GIVEN, Given, Person, as_given, channels_of, recall_people
from notifier.pipeline.planning.orders import Order, Target, admin_user_ids, is_tried, routing_of

Key = tuple[UUID, str, bool]  # producer, idempotency key, is it a test key's

P = ParamSpec("P")
T = TypeVar("T")

_TRIES = 3
LONGEST_WAIT_MS = 5_000  # for the first request with an idempotency key, before the second one is told to come back
IN_PROGRESS = "idempotency_in_progress"
INLINE_LIMIT = 100  # more recipients than this are expanded in the background


@dataclass(frozen=True, slots=True)
class Caller:
    """The submitter: the producer and the rights of its key. `types` None: all of them. `is_internal`: the product
    itself.

    `may_change_people`: known people, by values given inline; `may_change_staff`: even people with a role in the
    console. `label`: its name in the audit trail.
    """

    producer_id: UUID | None
    is_test: bool
    may_be_urgent: bool
    types: frozenset[str] | None
    request_id: str
    is_internal: bool = False
    may_change_people: bool = False
    may_change_staff: bool = False
    label: str = "Notifier"

    @classmethod
    def of_key(
        cls,
        producer_id: UUID,
        scopes: Collection[str],
        types: Collection[str] | None,
        *,
        is_test: bool,
        request_id: str,
        label: str,
    ) -> "Caller":
        """The rights of a key with these scopes. `types`: those it is limited to."""
        return cls(
            producer_id,
            is_test=is_test,
            may_be_urgent="urgent" in scopes,
            types=None if types is None else frozenset(types),
            request_id=request_id,
            may_change_people="users" in scopes,
            may_change_staff="users" in scopes and "admin" in scopes,
            label=label,
        )


@dataclass(frozen=True, slots=True)
class Item:
    caller: Caller
    submission: Submission


@dataclass(frozen=True, slots=True)
class Accepted:
    """`answer` is the body for the producer (API.md, POST /notifications); `replayed`: it is the first one's answer
    again.
    """

    answer: dict[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """An item to be stored, or to be answered as the earlier one of the batch that it `repeats`.

    Given with its recipients: `created`, people who are new; `changed`, people the caller may change; and `given`, by
    id, values for this notification only. `moved`: the channels of `changed` people whose address this has corrected.
    """

    item: Item
    order: Order
    recipients: tuple[InlineRecipient, ...]
    key: Key | None
    submission_id: UUID
    repeats: "Work | None" = None
    created: tuple[InlineRecipient, ...] = ()
    changed: tuple[InlineRecipient, ...] = ()
    given: Mapping[str, Given] = field(default_factory=dict)
    moved: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def is_expanded_later(self) -> bool:
        return len(self.recipients) > INLINE_LIMIT


Judged = Accepted | Rejected | Work


class Outdated(Exception):
    """An event type was changed between two of our queries; the batch is judged again."""


def judged_anew(work: Callable[P, T]) -> Callable[P, T]:
    """For a function that checks data, then judges in a transaction: it is run again when a type was changed in
    between.
    """

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_TRIES - 1):
            with contextlib.suppress(Outdated):
                return work(*args, **kwargs)
        return work(*args, **kwargs)

    return run


@dataclass(frozen=True, slots=True)
class Checked:
    """The faults of an item's data by this schema of its type (None: there was no such type), or why they could not be
    found out.
    """

    schema: Mapping[str, Any] | None
    faults: Sequence[Fault] | Rejected = ()


def check_against_schemas(batch: Sequence[Item]) -> list[Checked]:
    """Each item's data against the schema of its type. Before the transaction: schemas come from people, and take their
    time.
    """
    types = load_types({item.submission.type for item in batch})
    schemas = [types[item.submission.type].schema if item.submission.type in types else None for item in batch]
    checks = [
        Check(item.submission.type, schema, item.submission.data)
        for item, schema in zip(batch, schemas, strict=True)
        if schema is not None
    ]
    found = iter(check_all(checks))
    return [Checked(schema, next(found) if schema is not None else ()) for schema in schemas]


def judge(batch: Sequence[Item], now: datetime, checked: Sequence[Checked]) -> tuple[list[Judged], dict[str, Person]]:
    """Judges every item, in order: an answer (`Accepted`, when it was given before, or `Rejected`) or a `Work` each. A
    constant number of queries.

    → those, and the people it has met on the way: all who are to be notified at once, as they are before this batch
    changes them.

    A replay gets the first answer whatever has changed since: its time may have passed, its recipient been erased.
    Raises Outdated.
    """
    types = load_types(
        {name for item in batch for name in (item.submission.type, template_key(item.submission.template)) if name}
    )
    templates = load_template_ids(item.submission.template or item.submission.type for item in batch)
    admins = admin_user_ids() if any(t.to_admins for t in types.values()) else []
    first_answers = _first_answers(batch)
    alone = [
        first_answers.get(i) or _judge(item, checked[i], types, templates, admins, now) for i, item in enumerate(batch)
    ]
    return _compare(batch, alone)


def works_in(judged: Sequence[Judged]) -> list[Work]:
    return [one for one in judged if isinstance(one, Work)]


def keep_people(works: Sequence[Work]) -> tuple[list[Work], set[str]]:
    """Creates and changes people where the caller may. → the works, with what has `moved`; and people created by
    somebody else since the judging: then the whole batch is judged again.
    """
    actors = {recipient.id: work.item.caller.label for work in works for recipient in (*work.created, *work.changed)}
    overtaken = profiles.create([recipient for work in works for recipient in work.created], actors=actors)
    upserted = profiles.upsert([recipient for work in works for recipient in work.changed], actors=actors)
    moved = {user_id: channels_of(names) for user_id, names in upserted.moved.items()}
    return [
        replace(work, moved={one.id: moved[one.id] for one in work.changed if one.id in moved}) for work in works
    ], overtaken


def targets_of(works: Sequence[Work], persons: Mapping[str, Person], flooded: Collection[Trigger] = ()) -> list[Target]:
    """One notification for each recipient of each, in order."""
    notified = [(work, recipient.id, work.given.get(recipient.id)) for work in works for recipient in work.recipients]
    as_they_are = as_given([(persons[user_id], given) for _, user_id, given in notified])
    return [
        Target(
            submission_id=work.submission_id,
            producer_id=work.item.caller.producer_id,
            is_test=work.item.caller.is_test,
            order=work.order,
            person=person,
            is_flooded=(user_id, work.order.type.key) in flooded,
            given=given,
            moved=frozenset(work.moved.get(user_id, ())),
        )
        for (work, user_id, given), person in zip(notified, as_they_are, strict=True)
    ]


def _first_answers(batch: Sequence[Item]) -> dict[int, Accepted | Rejected]:
    """The answers to the items whose idempotency key is stored already, by index."""
    keys = {index: key for index, item in enumerate(batch) if (key := _key(item))}
    if not keys:
        return {}
    bound_the_wait()
    key_columns = (IdempotencyKey.producer_id, IdempotencyKey.key, IdempotencyKey.is_test)
    statement = sa.select(*key_columns, IdempotencyKey.body_digest, IdempotencyKey.answer)
    found = db.session.execute(statement.where(sa.tuple_(*key_columns).in_(set(keys.values()))))
    stored = {(row.producer_id, row.key, row.is_test): row for row in found}
    return {
        index: Accepted(row.answer, replayed=True)
        if bytes(row.body_digest) == body_digest(batch[index])
        else mismatch()
        for index, key in keys.items()
        if (row := stored.get(key))
    }


def template_key(template: str | None) -> str:
    """`order_shipped@3` → order_shipped."""
    return (template or "").partition("@")[0]


def _judge(
    item: Item,
    checked: Checked,
    types: dict[str, EventType],
    templates: dict[str, UUID],
    admins: list[str],
    now: datetime,
) -> Work | Rejected:
    caller, submission = item.caller, item.submission
    type_, worded_as = types.get(submission.type), types.get(template_key(submission.template))
    if type_ is None or (type_.is_internal and not caller.is_internal):
        return _refused(
            Fault("/type", "unknown_type", f"there is no event type {submission.type!r}"), code="unknown_type"
        )
    if caller.types is not None and type_.key not in caller.types:
        return Rejected("type_not_allowed", f"this key may not submit {type_.key!r}")
    if checked.schema != type_.schema:
        raise Outdated
    if type_.key in OWN_TYPES and not caller.is_internal:
        return Rejected("type_not_allowed", f"{type_.key!r} is sent by Notifier itself")
    if isinstance(checked.faults, Rejected):
        return checked.faults
    faults = [
        *check_priority(
            submission.priority,
            type_priority=type_.priority,
            category=type_.category,
            may_be_urgent=caller.may_be_urgent,
        ),
        *check_send_at(submission.send_at, now),
        *check_routing(routing_of(submission, type_), submission),
        *check_sequence(submission),
        *(
            Fault(f"/channels/{i}", "unknown_channel", f"there is no channel {name!r}")
            for i, name in enumerate(submission.channels or ())
            if name not in channels.CHANNELS
        ),
        *check_data(submission.data),
        *checked.faults,
    ]
    template_name = submission.template or submission.type
    # Nobody else may speak as the product.
    is_ours = worded_as is not None and (worded_as.is_internal or worded_as.key in OWN_TYPES) and not caller.is_internal
    if submission.template and (template_name not in templates or is_ours):
        faults.append(Fault("/template", "unknown_template", f"there is no published template {submission.template!r}"))
    for index, recipient in enumerate(submission.recipients):
        faults += profiles.check(recipient.changes, f"/recipients/{index}")
    if faults:
        return _refused(*faults)
    order = Order.of(
        submission,
        type_,
        submission.template_id or templates.get(template_name),
        now,
        is_ours=caller.is_internal,
        is_tried=is_tried(type_, caller.producer_id, is_test=caller.is_test),
    )
    recipients = (
        tuple(InlineRecipient(user_id) for user_id in admins)
        if goes_to_admins(item, type_)
        else _once_each(submission.recipients)
    )
    return Work(item, order, recipients, _key(item), new_id())


def goes_to_admins(item: Item, type_: EventType) -> bool:
    """Whether it goes to all admins, whoever is named. An author's template test does not, and a test key's goes to the
    named people: admins are live people.
    """
    return type_.to_admins and item.submission.template_id is None and not item.caller.is_test


def _refused(*faults: Fault, code: str = "validation_failed") -> Rejected:
    return Rejected(code, faults[0].message if len(faults) == 1 else f"{len(faults)} faults", faults)


def _once_each(recipients: Sequence[InlineRecipient]) -> tuple[InlineRecipient, ...]:
    """A person named twice gets one notification; later fields win."""
    merged: dict[str, InlineRecipient] = {}
    for recipient in recipients:
        seen = merged.get(recipient.id)
        merged[recipient.id] = replace(recipient, changes={**seen.changes, **recipient.changes}) if seen else recipient
    return tuple(merged.values())


def _compare(batch: Sequence[Item], alone: Sequence[Judged]) -> tuple[list[Judged], dict[str, Person]]:
    """Compares each item with those before it: same idempotency key, and people it may name. → what has become of them,
    and the named people.

    A recipient exists, is created by this item, or was created by an earlier one of the batch.
    """
    protected = _staff_among(batch)
    groups = [
        *((item.caller, item.submission.recipients) for item in batch),
        *((work.item.caller, work.recipients) for work in works_in(alone)),
    ]
    asked = [
        (len(group), {recipient.id for recipient in group if not _may_change(caller, recipient, protected)})
        for caller, group in groups
    ]
    at_once = {user_id for size, ids in asked if size <= INLINE_LIMIT for user_id in ids}
    later = {user_id for size, ids in asked if size > INLINE_LIMIT for user_id in ids} - at_once
    persons = recall_people(at_once)
    known = persons.keys() | (profiles.known_ids(later) if later else set())
    first: dict[Key, Work] = {}
    compared: list[Judged] = []
    for item, judged in zip(batch, alone, strict=True):
        one = _beside(item, judged, first, known, protected)
        if isinstance(one, Work) and one.repeats is None:
            known |= {recipient.id for recipient in one.recipients if recipient.changes}
            if one.key:
                first[one.key] = one
        compared.append(one)
    return compared, persons


def _beside(
    item: Item, judged: Judged, first: Mapping[Key, Work], known: Collection[str], protected: Collection[str]
) -> Judged:
    """An item beside those before it: `first` has their keys, `known` the people they create, and all others."""
    if isinstance(judged, Rejected) and judged.faults:
        return _with_unknown_people(judged, item, known)
    if not isinstance(judged, Work):
        return judged
    earlier = first.get(judged.key) if judged.key else None
    if earlier is not None:
        is_alike = body_digest(item) == body_digest(earlier.item)
        return replace(judged, repeats=earlier) if is_alike else mismatch()
    unknown = {recipient.id for recipient in judged.recipients if not recipient.changes}.difference(known)
    if unknown:
        return _refused(*_unknown_people(item, unknown), code="unknown_user")
    return _shared_out(judged, known, protected)


def _may_change(caller: Caller, recipient: InlineRecipient, protected: Collection[str]) -> bool:
    """Whether the values that came with the recipient are to be stored, be the person new or known."""
    return bool(recipient.changes) and (
        caller.may_change_staff or (caller.may_change_people and recipient.id not in protected)
    )


def _staff_among(batch: Sequence[Item]) -> set[str]:
    """People with a role in the console: sign-in links and alerts go to their addresses. One query, and none if it
    makes no difference.
    """
    asking = [item for item in batch if item.caller.may_change_people and not item.caller.may_change_staff]
    named = {recipient.id for item in asking for recipient in item.submission.recipients if recipient.changes}
    return staff.among(named)


def _shared_out(work: Work, known: Collection[str], protected: Collection[str]) -> Work:
    """With the values given with its recipients: stored where the caller may, otherwise kept with the notification."""
    changed, created, given = list[InlineRecipient](), list[InlineRecipient](), dict[str, Given]()
    for recipient in work.recipients:
        if _may_change(work.item.caller, recipient, protected):
            changed.append(recipient)
        elif recipient.changes and recipient.id not in known:
            created.append(recipient)
        elif values := {name: value for name, value in recipient.changes.items() if name in GIVEN}:
            given[recipient.id] = values
    return replace(work, created=tuple(created), changed=tuple(changed), given=given)


def _unknown_people(item: Item, unknown: set[str]) -> list[Fault]:
    named = (
        (index, recipient.id) for index, recipient in enumerate(item.submission.recipients) if recipient.id in unknown
    )
    return [
        Fault(f"/recipients/{index}", "unknown_user", f"there is no user {shown_id(user_id)!r}")
        for index, user_id in named
    ]


def _with_unknown_people(refused: Rejected, item: Item, known: Collection[str]) -> Rejected:
    """The refusal, with its unknown people too: all faults at once."""
    unknown = {recipient.id for recipient in item.submission.recipients if not recipient.changes}.difference(known)
    faults = _unknown_people(item, unknown)
    return _refused(*refused.faults, *faults, code=refused.code) if faults else refused


def mismatch() -> Rejected:
    return Rejected("idempotency_mismatch", "this idempotency key was used with another body")


def in_progress() -> Rejected:
    return Rejected(IN_PROGRESS, "a request with this idempotency key is still in progress", retry_after=1)


def _key(item: Item) -> Key | None:
    producer_id, given = item.caller.producer_id, item.submission.idempotency
    return (producer_id, given[0], item.caller.is_test) if producer_id and given else None


def body_digest(item: Item) -> bytes:
    return bytes.fromhex(item.submission.idempotency[1]) if item.submission.idempotency else b""


def bound_the_wait() -> None:
    """In a transaction that asks for a key."""
    # Another process may hold our key in an open transaction: PostgreSQL makes us wait for its end, for so long.
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text(f"SET LOCAL lock_timeout = '{LONGEST_WAIT_MS}ms'"))
